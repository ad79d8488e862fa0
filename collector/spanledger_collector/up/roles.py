"""Settings and secrets in; the processes to run, in what order and how to tell they are ready, out. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from .settings import UpSettings

HealthKind = Literal["http", "redis", "none"]


@dataclass(frozen=True, kw_only=True)
class Health:
    """How to ask a process whether it is ready: a URL that answers 200, or a broker that answers PING."""

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
    redis = f"redis://:{quote(secrets.redis_password)}@{at}:{settings.redis_port}/0"
    ports = {name: str(getattr(settings, name)) for name in PORT_FIELDS}
    return {
        "SPANLEDGER_HOME": str(settings.folder),
        "SPANLEDGER_HOST": settings.host,
        "SPANLEDGER_ENDPOINT": settings.collector_url,
        "SPANLEDGER_GATEWAY_URL": f"{settings.gateway_url}/v1",
        "SPANLEDGER_CLICKHOUSE_URL": settings.clickhouse_url
        or f"http://{at}:{settings.engine_port}/spanledger",
        "SPANLEDGER_REDIS_URL": settings.redis_url or redis,
        "SPANLEDGER_KEY": secrets.key,
        "PYTHONUNBUFFERED": "1",
        **({} if settings.clickhouse_url else {"SPANLEDGER_ENGINE_TOKEN": secrets.engine_token}),
        **{f"SPANLEDGER_{name.upper()}": value for name, value in ports.items()},
    }


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
        *([] if settings.redis_url else [_broker(settings, valkey)]),
        *([] if settings.clickhouse_url else [_engine(settings)]),
    ]
    ground = tuple(role.name for role in embedded)
    collector = _role(
        "collector",
        f"{settings.collector_url}/readyz",
        env={"SPANLEDGER_BOOTSTRAP_KEY": secrets.key},
        after=ground,
        stage=1,
    )
    return [
        *embedded,
        collector,
        _role("gateway", f"{settings.gateway_url}/readyz", after=ground),
        _role("worker", "", after=ground),
        _role("dashboard", f"{settings.dashboard_url}/healthz", after=ground),
    ]


def _role(
    name: str,
    health_url: str,
    *,
    env: Mapping[str, str] | None = None,
    after: tuple[str, ...],
    stage: int = 0,
) -> Role:
    health = Health(kind="http", url=health_url) if health_url else Health()
    argv = (sys.executable, "-m", "spanledger", name)
    return Role(name=name, argv=argv, env=env or {}, health=health, after=after, stage=stage)


def _engine(settings: UpSettings) -> Role:
    url = f"http://{settings.address}:{settings.engine_port}/ping"
    argv = (sys.executable, "-m", "spanledger", "engine")
    return Role(name="engine", argv=argv, health=Health(kind="http", url=url), stage=2)


def _broker(settings: UpSettings, valkey: Path) -> Role:
    argv = (str(valkey), str(broker_config_path(settings)))
    url = f"{settings.address}:{settings.redis_port}"
    return Role(name="broker", argv=argv, health=Health(kind="redis", url=url), stage=2)


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
