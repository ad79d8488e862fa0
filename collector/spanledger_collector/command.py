"""`spanledger collector`: OTLP/HTTP, OTLP/gRPC and the query API."""

from __future__ import annotations

import argparse
import logging
import sys

from spanledger_collector.store.settings import StoreSettings, load_settings

from .settings import CollectorSettings

EXIT_REFUSED = 1


def command(argv: list[str]) -> int:
    """Serve until SIGINT or SIGTERM; 1 when the home folder or a port is in use, 2 for a bad setting."""
    argparse.ArgumentParser(prog="spanledger collector", description=__doc__).parse_args(argv)
    settings, store = load_settings(CollectorSettings), load_settings(StoreSettings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return _serve(settings, store)


def _serve(settings: CollectorSettings, store: StoreSettings) -> int:
    import uvicorn

    from .app import Collector
    from .ingest.spool import SpoolLockedError

    try:
        collector = Collector(settings, store)
    except (SpoolLockedError, OSError) as refused:
        print(f"spanledger collector: cannot use SPANLEDGER_HOME={settings.home}: {refused}", file=sys.stderr)
        return EXIT_REFUSED
    config = uvicorn.Config(
        collector.app,
        host=settings.host,
        port=settings.collector_port,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=8,
        server_header=False,
    )
    uvicorn.Server(config).run()
    return 0
