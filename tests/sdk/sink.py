"""A collector for tests: takes OTLP over HTTP, parses it with the official classes, answers as told."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Sink:
    """What arrived, and how to answer. ``statuses`` are used up first, then 200."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.delay_s = 0.0
        self.reject_names: set[str] = set()
        self.partial_rejected = 0
        self.posted: dict[str, list[bytes]] = {}
        """Bodies that were sent anywhere else than to ``/v1/traces``, by path."""
        self.documents: dict[str, Any] = {}
        self.lock = threading.Lock()
        self.url = ""

    @property
    def spans(self) -> list[Span]:
        with self.lock:
            return [
                span
                for request in self.requests
                for block in request.resource_spans
                for scope in block.scope_spans
                for span in scope.spans
            ]

    def distinct(self) -> int:
        return len({span.span_id for span in self.spans})

    def wait_for(self, count: int, timeout_s: float = 20.0) -> int:
        deadline = time.monotonic() + timeout_s
        while self.distinct() < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.distinct()

    def answer(self, body: bytes) -> tuple[int, bytes]:
        with self.lock:
            self.bodies.append(body)
            if self.statuses:
                return self.statuses.pop(0), b""
            request = ExportTraceServiceRequest.FromString(body)
            names = {s.name for r in request.resource_spans for c in r.scope_spans for s in c.spans}
            if names & self.reject_names:
                return 400, b""
            self.requests.append(request)
            partial = ExportTracePartialSuccess(rejected_spans=self.partial_rejected)
            answer = ExportTraceServiceResponse(partial_success=partial if self.partial_rejected else None)
            self.partial_rejected = 0
            return 200, answer.SerializeToString()


@contextmanager
def serving(sink: Sink, port: int = 0) -> Generator[Sink]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            time.sleep(sink.delay_s)
            sink.headers.append({k.lower(): v for k, v in self.headers.items()})
            if self.path == "/v1/traces":
                status, payload = sink.answer(body)
            else:
                sink.posted.setdefault(self.path, []).append(body)
                status, payload = sink.statuses.pop(0) if sink.statuses else 200, b"{}"
            self.send_response(status)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return

    server = Server(("127.0.0.1", port), Handler)
    sink.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def plain(value: AnyValue) -> Any:
    """An OTLP value as a Python one."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def facts(span: Span) -> dict[str, Any]:
    """A span's attributes."""
    return {pair.key: plain(pair.value) for pair in span.attributes}
