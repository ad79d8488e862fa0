"""`spanledger collector`: OTLP/HTTP, OTLP/gRPC and the query API."""

from __future__ import annotations

import argparse
import gc
import logging
import socket
import sys

from spanledger_collector.store.heap import keep_heap
from spanledger_collector.store.settings import StoreSettings, load_settings

from .settings import CollectorSettings

EXIT_REFUSED = 1


def command(argv: list[str]) -> int:
    """Serve until SIGINT or SIGTERM; 1 when the home folder or a port is in use, 2 for a bad setting."""
    argparse.ArgumentParser(prog="spanledger collector", description=__doc__).parse_args(argv)
    gc.set_threshold(50_000, 20, 100)  # rows are many, short-lived and free of cycles
    keep_heap()
    settings, store = load_settings(CollectorSettings), load_settings(StoreSettings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in (
        "urllib3",
        "clickhouse_connect",
    ):  # they tell each failed attempt twice over; the writer says it once
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return _serve(settings, store)


def _in_use(settings: CollectorSettings) -> str:
    """The setting whose port somebody else listens on, with its value; empty when both are free."""
    ports = {"SPANLEDGER_COLLECTOR_PORT": settings.collector_port, "SPANLEDGER_GRPC_PORT": settings.grpc_port}
    for name, port in ports.items():
        with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as refused:
                return f"{name}={port} on {settings.host}: {refused.strerror}"
    return ""


def _serve(settings: CollectorSettings, store: StoreSettings) -> int:
    import uvicorn

    from .app import Collector
    from .ingest.spool import SpoolLockedError

    if refused := _in_use(settings):
        print(f"spanledger collector: cannot listen, {refused}", file=sys.stderr)
        return EXIT_REFUSED
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
