"""Settings in; the processes `--demo` adds to the product's, out. Pure."""

from __future__ import annotations

import sys

from spanledger_collector.up.roles import Health, Role
from spanledger_collector.up.settings import UpSettings

PRIMARY, BACKUP = "demo-primary", "demo-backup"


WORKER_ENV = {"SPANLEDGER_CANARY_SHARE": "0.4"}  # a viewer should not wait long for the return


def demo_roles(settings: UpSettings) -> list[Role]:
    """Two stand-in model servers, and the traffic that runs through the gateway to them."""
    return [
        _model(PRIMARY, settings.demo_primary_port, "openai"),
        _model(BACKUP, settings.demo_backup_port, "vllm"),
        Role(
            name="demo",
            argv=(sys.executable, "-m", "spanledger_collector.up.demo"),
            env=demo_env(settings),
            after=("collector", "gateway", "worker", PRIMARY, BACKUP),
            once=True,
            shown=True,
        ),
    ]


def demo_env(settings: UpSettings) -> dict[str, str]:
    """How the traffic finds the stand-ins."""
    return {
        "SPANLEDGER_DEMO_PRIMARY_URL": f"http://127.0.0.1:{settings.demo_primary_port}",
        "SPANLEDGER_DEMO_BACKUP_URL": f"http://127.0.0.1:{settings.demo_backup_port}",
        "SPANLEDGER_DASHBOARD_URL": settings.dashboard_url,
    }


def _model(name: str, port: int, flavour: str) -> Role:
    argv = (
        sys.executable,
        "-m",
        "spanledger.testing.model_server",
        "--port",
        str(port),
        "--flavour",
        flavour,
    )
    health = Health(kind="http", url=f"http://127.0.0.1:{port}/health")
    return Role(name=name, argv=argv, health=health)
