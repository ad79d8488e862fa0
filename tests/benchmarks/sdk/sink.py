"""A fast collector stand-in as a process: counts distinct span ids; answers at once, late, or not at all."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def read_request(connection: socket.socket, buffer: bytearray) -> tuple[bytes, bytes] | None:
    """Head and body of one request; None at the end."""
    while (split := buffer.find(b"\r\n\r\n")) < 0:
        data = connection.recv(1 << 20)
        if not data:
            return None
        buffer += data
    head = bytes(buffer[:split])
    size = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    while len(buffer) < split + 4 + size:
        data = connection.recv(1 << 20)
        if not data:
            return None
        buffer += data
    body = bytes(buffer[split + 4 : split + 4 + size])
    del buffer[: split + 4 + size]
    return head, body


class Counter:
    """Keeps bodies and parses them only when asked, so that it costs the measured nothing."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.bodies: list[bytes] = []
        self.ids: set[bytes] = set()
        self.total = 0

    def count(self) -> dict[str, int]:
        while self.bodies:
            request = ExportTraceServiceRequest.FromString(self.bodies.pop())
            for block in request.resource_spans:
                for scope in block.scope_spans:
                    self.ids.update(span.span_id for span in scope.spans)
                    self.total += len(scope.spans)
        return {"distinct": len(self.ids), "total": self.total}

    def serve(self, connection: socket.socket) -> None:
        buffer = bytearray()
        with connection:
            while (request := read_request(connection, buffer)) is not None:
                head, body = request
                payload = b""
                if head.startswith(b"GET"):
                    payload = json.dumps(self.count()).encode()
                else:
                    time.sleep(self.delay_s)
                    self.bodies.append(body)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(payload), payload)
                )


def main(port: int, delay_s: float) -> None:
    """Listen until killed; prints the port first."""
    counter = Counter(delay_s)
    with socket.create_server(("127.0.0.1", port)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=counter.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
