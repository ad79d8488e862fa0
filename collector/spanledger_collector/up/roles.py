"""Settings and secrets in; the processes to run, in what order and how to tell they are ready, out. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from .settings import UpSettings

HealthKind = Literal["http", "redis", "heartbeat", "none"]


@dataclass(frozen=True, kw_only=True)
class Health:
    """How to tell that a process is ready: ``http``, its URL answers 200; ``redis``, a broker answers PING;
    ``heartbeat``, a Celery worker is heard on that broker."""

    kind: HealthKind = "none"
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Role:
    """One process. ``after``: roles that are ready before it starts; ``stage``: when it is stopped, low first."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    health: Health = Health()
    after: tuple[str, ...] = ()
    stage: int = 0
    once: bool = False  # it may end by itself
    shown: bool = False  # its output goes to the terminal too


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What the roles authenticate with."""

    key: str
    engine_token: str
    redis_password: str


def shared_env(settings: UpSettings, secrets: Secrets) -> dict[str, str]:
    """The environment every role gets on top of the caller's."""
    at = settings.address
    ports = {name: str(getattr(settings, name)) for name in PORT_FIELDS}
    return {
        "SPANLEDGER_HOME": str(settings.folder),
        "SPANLEDGER_HOST": settings.host,
        "SPANLEDGER_ENDPOINT": settings.collector_url,
        "SPANLEDGER_GATEWAY_URL": f"{settings.gateway_url}/v1",
        "SPANLEDGER_CLICKHOUSE_URL": settings.clickhouse_url
        or f"http://{at}:{settings.engine_port}/spanledger",
        "SPANLEDGER_REDIS_URL": redis_url(settings, secrets),
        "SPANLEDGER_KEY": secrets.key,
        "PYTHONUNBUFFERED": "1",
        **({} if settings.clickhouse_url else {"SPANLEDGER_ENGINE_TOKEN": secrets.engine_token}),
        **{f"SPANLEDGER_{name.upper()}": value for name, value in ports.items()},
    }


def redis_url(settings: UpSettings, secrets: Secrets) -> str:
    """The broker's URL: the one given, or the embedded one's."""
    own = f"redis://:{quote(secrets.redis_password)}@{settings.address}:{settings.redis_port}/0"
    return settings.redis_url or own


PORT_FIELDS = ("engine_port", "redis_port", "collector_port", "grpc_port", "gateway_port", "dashboard_port")


def taken_ports(settings: UpSettings, demo: bool) -> dict[str, int]:
    """The ports this run will listen on, by the setting that moves each."""
    fields = list(PORT_FIELDS)
    if settings.clickhouse_url:
        fields.remove("engine_port")
    if settings.redis_url:
        fields.remove("redis_port")
    if demo:
        fields += ["demo_primary_port", "demo_backup_port"]
    return {f"SPANLEDGER_{name.upper()}": getattr(settings, name) for name in fields}


def roles(settings: UpSettings, secrets: Secrets, valkey: Path) -> list[Role]:
    """The product's processes; embedded ones only where no URL replaces them."""
    embedded = [
        *([] if settings.redis_url else [_broker(settings, secrets, valkey)]),
        *([] if settings.clickhouse_url else [_engine(settings)]),
    ]
    ground = tuple(role.name for role in embedded)
    heartbeat = Health(kind="heartbeat", url=redis_url(settings, secrets))
    collector = Role(
        name="collector",
        argv=_argv("collector"),
        env={"SPANLEDGER_BOOTSTRAP_KEY": secrets.key},
        health=_http(f"{settings.collector_url}/readyz"),
        after=ground,
        stage=1,
    )
    gateway, dashboard = f"{settings.gateway_url}/readyz", f"{settings.dashboard_url}/healthz"
    return [
        *embedded,
        collector,
        Role(name="gateway", argv=_argv("gateway"), health=_http(gateway), after=ground),
        Role(name="worker", argv=_argv("worker"), health=heartbeat, after=("collector",)),
        Role(name="dashboard", argv=_argv("dashboard"), health=_http(dashboard), after=ground),
    ]


def _argv(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "spanledger", command)


def _http(url: str) -> Health:
    return Health(kind="http", url=url)


def _engine(settings: UpSettings) -> Role:
    health = _http(f"http://{settings.address}:{settings.engine_port}/ping")
    return Role(name="engine", argv=_argv("engine"), health=health, stage=2)


def _broker(settings: UpSettings, secrets: Secrets, valkey: Path) -> Role:
    argv = (str(valkey), str(broker_config_path(settings)))
    health = Health(kind="redis", url=redis_url(settings, secrets))
    return Role(name="broker", argv=argv, health=health, stage=2)


def broker_config_path(settings: UpSettings) -> Path:
    """Where the embedded broker's configuration is written."""
    return settings.folder / "broker.conf"


def broker_config(settings: UpSettings, secrets: Secrets) -> str:
    """Valkey's configuration: on disk within a second, never evicting what counts money."""
    host = settings.host if settings.host == "127.0.0.1" else f"{settings.host} 127.0.0.1"
    return "\n".join(
        [
            f"bind {host}",
            f"port {settings.redis_port}",
            f'dir "{settings.folder / "broker"}"',
            f"requirepass {secrets.redis_password}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory 512mb",
            # Cached answers carry a TTL and may go; budgets and queues do not.
            "maxmemory-policy volatile-lru",
            "daemonize no",
            "",
        ]
    )
