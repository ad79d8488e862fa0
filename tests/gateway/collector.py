"""A stand-in collector: serves a snapshot of the test's making, keeps the spans it was sent."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanledger.serving.snapshot import EMPTY, Snapshot
from tests.servers import free_port


class Span:
    """One received span, with plain attribute values."""

    def __init__(self, span: trace_pb2.Span) -> None:
        self.name = span.name
        self.trace_id = span.trace_id.hex()
        self.span_id = span.span_id.hex()
        self.parent_span_id = span.parent_span_id.hex()
        self.start_time = span.start_time_unix_nano
        self.end_time = span.end_time_unix_nano
        self.status_code = span.status.code
        self.status_message = span.status.message
        self.attributes: dict[str, Any] = {pair.key: _value(pair.value) for pair in span.attributes}

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]

    def get(self, name: str) -> Any:
        return self.attributes.get(name)


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


class StandInCollector:
    """Listens on a free port in a thread of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.snapshot: Snapshot = EMPTY
        self.spans: list[Span] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None

    def start(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    def stop(self) -> None:
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
            self._runner = None

    def trace(self, trace_id: str, until: Callable[[list[Span]], bool]) -> list[Span]:
        """The trace's spans by start time, once they satisfy ``until``."""
        deadline = time.monotonic() + 10
        while True:
            found = sorted((s for s in self.spans if s.trace_id == trace_id), key=lambda s: s.start_time)
            if until(found):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not what was waited for: {[(s.name, s.attributes) for s in found]}")
            time.sleep(0.02)

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/api/registry/snapshot", self._get_snapshot)
        app.router.add_post("/v1/traces", self._post_traces)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def _get_snapshot(self, request: web.Request) -> web.Response:
        tag = f'"{self.snapshot.version}"'
        if request.headers.get("if-none-match") == tag:
            return web.Response(status=304)
        return web.Response(
            body=self.snapshot.to_json(), headers={"etag": tag}, content_type="application/json"
        )

    async def _post_traces(self, request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp inflates it
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += [Span(span) for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")


def new_version() -> str:
    """A version no snapshot had before."""
    return uuid.uuid4().hex
