"""Serve models of many providers behind one OpenAI- and Anthropic-compatible endpoint."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile

import uvicorn

from . import hooks
from .http.server import HttpProtocol
from .settings import GatewaySettings, SettingsError, load


def command(argv: list[str]) -> int:
    """Run ``spanledger gateway``; returns its exit code, 2 for a bad setting."""
    parser = argparse.ArgumentParser("spanledger gateway", description=__doc__)
    parser.add_argument("--host", help="address to listen on (SPANLEDGER_HOST)")
    parser.add_argument("--port", help="port to listen on (SPANLEDGER_GATEWAY_PORT)")
    parser.add_argument("--workers", help="processes to serve with (SPANLEDGER_GATEWAY_WORKERS)")
    given = parser.parse_args(argv)
    # Workers are processes of their own and read the environment, so the options go there.
    for name, value in (
        ("HOST", given.host),
        ("GATEWAY_PORT", given.port),
        ("GATEWAY_WORKERS", given.workers),
    ):
        if value is not None:
            os.environ[f"SPANLEDGER_{name}"] = value
    try:
        from spanledger import settings as sdk

        settings = load()
        sdk.load()
        hooks.load(settings.gateway_hooks)
    except (SettingsError, ValueError) as wrong:
        print(f"spanledger gateway: {wrong}", file=sys.stderr)
        return 2
    return _serve(settings)


def _serve(settings: GatewaySettings) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    shared = ""
    if settings.gateway_workers > 1:
        # Workers count into files of one folder, so that any of them can answer /metrics for all.
        shared = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="spanledger-gateway-")
    try:
        uvicorn.run(
            "spanledger_gateway.app:create",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.gateway_workers,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=10,
            server_header=False,
            proxy_headers=False,
            loop="uvloop",
            http=HttpProtocol,
            ws="none",
            timeout_keep_alive=75,  # longer than any client keeps an idle connection: it must never write into our closing
            backlog=4096,
        )
    finally:
        if shared:
            shutil.rmtree(shared, ignore_errors=True)
    return 0
