"""The collector process: settings in, one ASGI app of ingest, query API, health and metrics out."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import prometheus_client
import redis
from clickhouse_connect.driver.exceptions import Error as EngineError
from fastapi import FastAPI, Response

from .api.app import build
from .api.bill_rows import BillRows
from .ingest.grpc import OtlpGrpc
from .ingest.http import OtlpHttp
from .ingest.lease import RedisLease
from .ingest.metrics import Metrics
from .ingest.pricing import PriceBook
from .ingest.receive import Receiver
from .ingest.redact import Rules
from .ingest.spool import Spool
from .ingest.writer import Writer
from .settings import CollectorSettings
from .store.clickhouse import Client
from .store.client import connect, connect_reader
from .store.kept_answers import KeptAnswers
from .store.migrations import MigrationError, migrate
from .store.registry.announce import RedisAnnouncer
from .store.registry.keys import KeyDirectory, KeysUnavailableError
from .store.registry.registry import Registry
from .store.retention import RetentionKeeper
from .store.settings import StoreSettings

logger = logging.getLogger(__name__)

RETRY_S = 1.0


class LateClient:
    """A store client that connects when it is first used, and again after it failed to.

    The collector accepts spans while the store is away, so it cannot wait for it at its start.
    """

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect, self._client, self._lock = connect, cast(Client | None, None), threading.Lock()

    def __getattr__(self, name: str) -> Any:
        """An attribute of the client; raises what connecting raises."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
        return getattr(self._client, name)

    def close(self) -> None:
        """Give connections back, if there are any."""
        if self._client is not None:
            self._client.close()


class Collector:
    """Every part of the process, wired; ``start`` and ``stop`` are the lifespan."""

    def __init__(self, settings: CollectorSettings, store: StoreSettings) -> None:
        """Open the spool.

        Raises:
            SpoolLockedError, OSError: the home folder cannot be used.
        """
        self._store, self.metrics = store, Metrics()
        self.spool = Spool(settings.folder / "spool", max_bytes=settings.spool_max_bytes)
        self._client = cast(Client, LateClient(lambda: connect(store, send_receive_timeout=60)))
        self._reader = cast(Client, LateClient(lambda: connect_reader(store)))
        broker = redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            settings.redis_url, socket_timeout=1, socket_connect_timeout=1
        )
        self.registry = Registry(self._client, RedisAnnouncer(broker))
        self.metrics.registry.register(BillRows(self._reader))
        self._kept = KeptAnswers(broker)
        self.keys = KeyDirectory(self.registry, settings.bootstrap_key, settings.folder / "keys.json")
        prices = PriceBook(self.registry)
        self.receiver = Receiver(self.keys, self.spool, self.metrics, settings.ingest_max_bytes)
        lease = RedisLease(broker, store.database, self.metrics.unasked.inc)
        self._writer = Writer(self.spool, self._client, prices, Rules(self.registry), self.metrics, lease)
        self._retention = RetentionKeeper(self._client, self.registry, store.cluster)
        self._stopping = threading.Event()
        self._starter = threading.Thread(target=self._start_store, name="collector-start", daemon=True)
        self._grpc_address = f"{settings.host}:{settings.grpc_port}"
        self.app = self._build_app()

    def _build_app(self) -> FastAPI:
        app = build(self._reader, self.registry, self.keys, self._kept, self.metrics.redacted.inc)
        app.router.lifespan_context = self._lifespan
        app.mount("/v1", OtlpHttp(self.receiver))
        app.add_api_route("/healthz", healthz, include_in_schema=False)
        app.add_api_route("/readyz", self._readyz, include_in_schema=False)
        app.add_api_route("/metrics", self._metrics, include_in_schema=False)
        return app

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncGenerator[None]:
        grpc = OtlpGrpc(self.receiver, self._grpc_address)  # needs the running loop
        self._starter.start()
        await grpc.start()
        try:
            yield
        finally:
            await grpc.stop()
            await asyncio.to_thread(self.stop)

    def _start_store(self) -> None:
        """Migrate, then write; the keys' own copy lets requests be accepted before."""
        self.keys.start()
        while not self._stopping.is_set():
            try:
                for migration in migrate(self._store):
                    logger.info("applied %s", migration.name)
                break
            except EngineError as away:
                logger.warning("the store is away, trying again: %s", str(away)[:200])
            except MigrationError:
                logger.exception("the store cannot be migrated; spans are accepted and kept in the spool")
                return
            self._stopping.wait(RETRY_S)
        if not self._stopping.is_set():
            self.keys.refresh()
            self._writer.start()
            self._retention.start()

    def stop(self) -> None:
        """Commit what was accepted, give the writer a while to store it, then end."""
        self._stopping.set()
        self.spool.close()
        self._starter.join(timeout=5)
        self._writer.stop()
        self._retention.stop()
        self.keys.stop()
        self.spool.release()
        self._client.close()
        self._reader.close()

    def _readyz(self) -> Response:
        """Ready means: a request can be acknowledged."""
        if self.spool.full:
            return Response("the spool is full\n", 503, media_type="text/plain")
        try:
            self.keys.lookup("")
        except KeysUnavailableError as away:
            return Response(f"{away}\n", 503, media_type="text/plain")
        return Response("ready\n", media_type="text/plain")

    def _metrics(self) -> Response:
        self.metrics.spool_bytes.set(self.spool.depth_bytes)
        self.metrics.spool_segments.set(self.spool.segments)
        oldest = self.spool.oldest_received_at
        self.metrics.spool_age.set(0 if oldest is None else max(0, time.time_ns() - oldest) / 1e9)
        content = prometheus_client.generate_latest(self.metrics.registry)
        content += prometheus_client.generate_latest()
        return Response(content, media_type=prometheus_client.CONTENT_TYPE_LATEST)


def healthz() -> Response:
    """Alive."""
    return Response("ok\n", media_type="text/plain")
