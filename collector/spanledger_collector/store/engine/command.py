"""`spanledger engine`: chDB served on ClickHouse's HTTP interface."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from spanledger_collector.store.settings import load_settings

from .settings import EngineSettings

EXIT_REFUSED = 1


def command(argv: list[str]) -> int:
    """Serve until SIGINT or SIGTERM; 1 when the data or the port is in use, 2 for a bad setting."""
    argparse.ArgumentParser(prog="spanledger engine", description=__doc__).parse_args(argv)
    settings = load_settings(EngineSettings)
    settings.data.mkdir(parents=True, exist_ok=True)
    _clean_start(settings.data)
    return _serve(settings)


def _clean_start(data: Path) -> None:
    """The engine reads ``config.xml`` in its working directory and the machine's time zone: neither is ours."""
    work = data.parent / "engine.cwd"
    work.mkdir(exist_ok=True)
    os.chdir(work)
    os.environ["TZ"] = "UTC"


def _serve(settings: EngineSettings) -> int:
    import uvicorn

    from .app import EngineApp

    try:
        app = EngineApp(settings)
    except RuntimeError as refused:
        print(f"spanledger engine: cannot open SPANLEDGER_HOME={settings.home}: {refused}", file=sys.stderr)
        return EXIT_REFUSED
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=8,
        server_header=False,
    )
    uvicorn.Server(config).run()
    return 0
