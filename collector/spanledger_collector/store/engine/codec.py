"""Bodies in one content encoding in; plain bytes out, and the other way round."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Protocol, cast

import lz4.frame
import zstandard

from .errors import BAD_REQUEST, BODY_TOO_LARGE, NOT_IMPLEMENTED, refusal

_CUT = "it ends too early"
_ZSTD_STEP = 1024


class Compressor(Protocol):
    """Turns pieces of an answer into pieces of one compressed stream."""

    def compress(self, data: bytes, /) -> bytes:
        """The next compressed bytes; may be empty."""
        ...

    def flush(self) -> bytes:
        """The end of the stream."""
        ...


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo ``Content-Encoding``; raises ``EngineError`` for an unknown one, bad bytes, or over ``limit``."""
    if encoding in ("", "identity"):
        return body
    try:
        plain = _read(body, encoding, limit + 1)
    except (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError) as bad:
        raise refusal(BAD_REQUEST, f"the body is not valid {encoding}: {bad}") from None
    if len(plain) > limit:
        raise refusal(BODY_TOO_LARGE, f"the body inflates beyond {limit} bytes (SPANLEDGER_ENGINE_MAX_BODY)")
    return plain


def _read(body: bytes, encoding: str, size: int) -> bytes:
    match encoding:
        case "lz4":
            return lz4.frame.LZ4FrameFile(io.BytesIO(body)).read(size)
        case "zstd":
            return _unzstd(body, size)
        case "gzip":
            return gzip.GzipFile(fileobj=io.BytesIO(body)).read(size)
        case "deflate":
            stream = zlib.decompressobj()
            plain = stream.decompress(body, size)
            if not stream.eof and len(plain) < size:
                raise EOFError(_CUT)
            return plain
        case _:
            raise refusal(
                NOT_IMPLEMENTED,
                f"Content-Encoding {encoding!r}: allowed are lz4, zstd, gzip, deflate",
            )


def _unzstd(body: bytes, size: int) -> bytes:
    """All frames of a body, in small steps because one byte may stand for very many; stops after ``size``."""
    plain = bytearray()
    frame: zstandard.ZstdDecompressionObj | None = None
    for start in range(0, len(body), _ZSTD_STEP):
        data = body[start : start + _ZSTD_STEP]
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            plain += frame.decompress(data)
            if len(plain) >= size:
                return bytes(plain[:size])
            data = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None or not body:
        raise EOFError(_CUT)
    return bytes(plain)


class _Lz4:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._head = cast(bytes, self._frame.begin())

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + cast(bytes, self._frame.compress(data))  # pyright: ignore[reportUnknownMemberType]

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return head + cast(bytes, self._frame.flush())


def choose_encoding(accept: str) -> str:
    """The best of what a client's ``Accept-Encoding`` names: lz4, zstd, gzip or nothing."""
    offered = {part.split(";")[0].strip().lower() for part in accept.split(",")}
    return next((name for name in ("lz4", "zstd", "gzip") if name in offered), "")


def compressor(encoding: str) -> Compressor | None:
    """A fresh stream for one answer, or None to send it plain."""
    match encoding:
        case "lz4":
            return _Lz4()
        case "zstd":
            return zstandard.ZstdCompressor(level=1).compressobj()
        case "gzip":
            return zlib.compressobj(1, wbits=31)
        case _:
            return None
