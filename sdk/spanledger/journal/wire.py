"""HTTP/1.1 for one kept connection: a request's head and body in, status, headers and body out.

`http.client` would cost the shipper process a third of its start (it brings the email package, ssl and enum), and
what is needed of HTTP here is little: POST with a known length; an answer with a length, in chunks, or until the end.
"""

from __future__ import annotations

import _socket  # `socket` brings enum and selectors: 7 ms at start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RECEIVE = 1 << 16
_LONGEST_HEAD = 1 << 16
_LONGEST_BODY = 4 << 20


class ProtocolError(OSError):
    """The other side does not speak HTTP, or stopped in the middle."""


class Response:
    """An answer. ``headers`` by lower-case name; ``keep``: the connection can be used again."""

    __slots__ = ("body", "headers", "keep", "status")

    def __init__(self, status: int, headers: dict[str, str], *, keep: bool) -> None:
        self.status = status
        self.headers = headers
        self.keep = keep
        self.body = b""


def connect(host: str, port: int, timeout_s: float) -> Any:
    """A TCP connection to the first address of the host that answers.

    Raises:
        OSError: there is none.
    """
    failure: OSError | None = None
    for family, kind, protocol, _, address in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
        found = _socket.socket(family, kind, protocol)
        try:
            found.settimeout(timeout_s)
            found.connect(address)
            found.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        except OSError as error:
            failure = error
            found.close()
        else:
            return found
    raise failure or ProtocolError(f"{host} has no address")


class Reader:
    """Reads answers from a connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._buffer = b""

    def response(self) -> Response:
        """The next answer; an interim one (1xx) is skipped.

        Raises:
            OSError: none came, in time or at all.
        """
        while True:
            response = _parsed(self._head())
            if response.status >= 200:
                self._body(response)
                return response

    def tunnel(self) -> Response:
        """The head of a proxy's answer to CONNECT, which has no body.

        Raises:
            OSError: none came.
        """
        return _parsed(self._head())

    def _more(self) -> bool:
        data = self._connection.recv(_RECEIVE)
        self._buffer += data
        return bool(data)

    def _head(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _LONGEST_HEAD or not self._more():
                raise ProtocolError("no HTTP answer")
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._more():
                raise ProtocolError("the answer ended too early")
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _LONGEST_HEAD or not self._more():
                raise ProtocolError("the answer ended too early")
        return self._take(end + 2)[:-2]

    def _body(self, response: Response) -> None:
        length = response.headers.get("content-length", "")
        if response.status in (204, 304):
            return
        if response.headers.get("transfer-encoding", "").lower().endswith("chunked"):
            response.body = self._chunks()
        elif length.isdigit():
            if int(length) > _LONGEST_BODY:
                raise ProtocolError("the answer is too long")
            response.body = self._take(int(length))
        else:
            response.keep = False
            while len(self._buffer) <= _LONGEST_BODY and self._more():
                pass
            response.body = self._buffer

    def _chunks(self) -> bytes:
        found = bytearray()
        while size := int(self._line().partition(b";")[0], 16):
            if len(found) + size > _LONGEST_BODY:
                raise ProtocolError("the answer is too long")
            found += self._take(size)
            self._take(2)
        while self._line():  # trailers
            pass
        return bytes(found)


def _parsed(head: bytes) -> Response:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not status.isdigit():
        raise ProtocolError("no HTTP answer")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    wanted = headers.get("connection", "").lower()
    return Response(
        int(status), headers, keep=wanted != "close" and (version != "HTTP/1.0" or "keep-alive" in wanted)
    )
