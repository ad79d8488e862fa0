"""One OTLP/HTTP connection: bytes of a request in, the collector's answer out. Never raises."""

from __future__ import annotations

from spanledger.journal.shipping import Answer
from spanledger.journal.wire import ProtocolError, Reader, Response, connect
from spanledger.proxies import LOOPBACK, Target, proxy_for, target_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_GZIP_ABOVE = 1024


class Transport:
    """Posts bodies to one URL over one kept connection. Not for use by two threads at once.

    ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` are obeyed as everywhere.
    """

    def __init__(self, url: str, key: str = "", timeout_s: float = 10.0) -> None:
        self._target = target = target_of(url)
        self._timeout_s = timeout_s
        self._connection: Any = None
        self._reader: Reader | None = None
        self._proxy: Target | None = None
        self._is_proxy_known = False
        self._headers = (
            f"host: {target.authority}\r\nuser-agent: spanledger\r\ncontent-type: application/x-protobuf\r\n"
        )
        if key:
            self._headers += f"authorization: Bearer {key}\r\n"
        # Compression costs the shipper more than a loopback copy and saves a real network 80 to 90 %.
        self._gzip = target.host not in LOOPBACK

    def post(self, body: bytes) -> Answer:
        """Send one body. A connection that the collector closed meanwhile is opened once more."""
        headers = self._headers
        if self._gzip and len(body) > _GZIP_ABOVE:
            body, headers = _gzip(body), headers + "content-encoding: gzip\r\n"
        was_kept = self._connection is not None
        try:
            return self._attempt(body, headers)
        except (OSError, ValueError) as error:
            self.close()
            if not was_kept or isinstance(error, TimeoutError):
                return Answer(0)
        try:
            return self._attempt(body, headers)
        except (OSError, ValueError):
            self.close()
            return Answer(0)

    def _attempt(self, body: bytes, headers: str) -> Answer:
        if self._connection is None:
            self._connect()
        connection, reader = self._connection, self._reader
        assert connection is not None
        assert reader is not None
        path = self._target.path
        if self._proxy is not None and not self._target.is_secure:
            path, headers = f"http://{self._target.authority}{path}", headers + self._proxy.credentials()
        head = f"POST {path} HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        connection.sendall(body)
        response = reader.response()
        if not response.keep:
            self.close()
        return _answer(response)

    def _connect(self) -> None:
        target = self._target
        if not self._is_proxy_known:
            self._proxy, self._is_proxy_known = proxy_for(target), True
        first = self._proxy or target
        connection = connect(first.host, first.port, self._timeout_s)
        try:
            if target.is_secure:
                if self._proxy is not None:
                    _open_tunnel(connection, target, self._proxy)
                connection = _secured(connection, target.host, self._timeout_s)
        except BaseException:
            connection.close()
            raise
        self._connection, self._reader = connection, Reader(connection)

    def close(self) -> None:
        """Close the connection; the next post opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = self._reader = None


def _open_tunnel(connection: Any, target: Target, proxy: Target) -> None:
    where = f"{target.bracketed}:{target.port}"
    connection.sendall(
        f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n{proxy.credentials()}\r\n".encode("latin-1")
    )
    status = Reader(connection).tunnel().status
    if status != 200:
        raise ProtocolError(f"the proxy {proxy.authority} answered {status}")


def _secured(connection: Any, host: str, timeout_s: float) -> Any:
    import socket
    import ssl

    plain = socket.socket(fileno=connection.detach())
    plain.settimeout(timeout_s)
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _gzip(body: bytes) -> bytes:
    """Gzip without a time stamp, so that a repeated body is the same body."""
    import zlib

    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _answer(response: Response) -> Answer:
    after = response.headers.get("retry-after", "")
    rejected = rejected_spans(response.body)
    return Answer(response.status, rejected, float(after) if after.isdigit() else 0.0)


def rejected_spans(payload: bytes) -> int:
    """``partial_success.rejected_spans`` of an ExportTraceServiceResponse; 0 for anything else.

    >>> rejected_spans(bytes([0x0A, 2, 0x08, 7]))
    7
    """
    if len(payload) < 4 or payload[0] != 0x0A or payload[2] != 0x08:
        return 0
    value = shift = 0
    for byte in payload[3:13]:
        value |= (byte & 127) << shift
        if byte < 128:
            return value
        shift += 7
    return 0
