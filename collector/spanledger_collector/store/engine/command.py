"""`spanledger engine`: chDB served on ClickHouse's HTTP interface."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spanledger_collector.store.settings import load_settings

from .library import prepare_process
from .repair import forget_torn_inserts
from .settings import EngineSettings

if TYPE_CHECKING:
    from .app import EngineApp

EXIT_REFUSED = 1
_PIECE = 1024 * 1024  # bytes of a body given to the application at once


def command(argv: list[str]) -> int:
    """Serve until SIGINT or SIGTERM; 1 when the data or the port is in use, 2 for a bad setting."""
    argparse.ArgumentParser(prog="spanledger engine", description=__doc__).parse_args(argv)
    settings = load_settings(EngineSettings)
    try:
        with _listener(settings) as listener, _lock(settings):
            _Server(_open(settings)).run(sockets=[listener])
    except _Refused as refused:
        print(f"spanledger engine: {refused}", file=sys.stderr)
        return EXIT_REFUSED
    return 0


class _Refused(Exception):
    """The process cannot start; the text names the setting."""


def _listener(settings: EngineSettings) -> socket.socket:
    """Take the port before the data is opened, so that a refusal comes at once."""
    try:
        return socket.create_server((settings.host, settings.port), backlog=512)
    except OSError as refused:
        raise _Refused(
            f"port {settings.port} on {settings.host} cannot be listened on: {refused.strerror} "
            "(SPANLEDGER_ENGINE_PORT, SPANLEDGER_HOST)"
        ) from None


@contextmanager
def _lock(settings: EngineSettings) -> Generator[None]:
    """One process a folder. The engine has a lock of its own, but does not tell it from other failures."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    with (settings.folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _Refused(
                f"another engine (process {file.read().strip()}) uses SPANLEDGER_HOME={settings.home}"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _open(settings: EngineSettings) -> EngineApp:
    prepare_process(settings.folder, settings.memory)
    forgotten = forget_torn_inserts(settings.data)
    if forgotten:
        print(
            f"spanledger engine: {forgotten} inserts were cut by a crash; their retry will be taken",
            flush=True,
        )
    from .app import EngineApp

    try:
        return EngineApp(settings)
    except RuntimeError as refused:
        raise _Refused(f"the data in SPANLEDGER_HOME={settings.home} cannot be opened: {refused}") from None


def _config(app: EngineApp) -> uvicorn.Config:
    # An answer that fails midway is left without its end on purpose; uvicorn takes that for a mistake.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "without completing response" not in record.getMessage()
    )
    return uvicorn.Config(
        app,
        http=_Protocol,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_keep_alive=600,  # longer than clients keep connections, so that none is closed under a request
        timeout_graceful_shutdown=2,
        server_header=False,
        proxy_headers=False,
    )


class _Protocol(HttpToolsProtocol):
    """Takes large bodies in larger pieces: uvicorn pauses the socket after every 64 KiB."""

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > _PIECE:
            self.flow.pause_reading()
        self.cycle.message_event.set()


class _Server(uvicorn.Server):
    """Ends by returning, so that the exit code is 0: uvicorn would raise the signal again."""

    def __init__(self, app: EngineApp) -> None:
        super().__init__(_config(app))
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        threading.Thread(target=self._app.stop_reads, name="stop").start()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
