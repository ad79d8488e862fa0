"""OTLP/HTTP as an ASGI application for everything under /v1: each answer, errors included, is OTLP's own."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from . import errors, wire
from .errors import Refused
from .receive import Receiver
from .wire import Signal

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SIGNALS: dict[str, Signal] = {"/v1/traces": "traces", "/v1/logs": "logs"}


class OtlpHttp:
    """Mount at ``/v1``. A framework's own 404, 405 or 422 would break the rule that errors are Status bodies."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        kind = wire.PROTOBUF
        try:
            signal = _signal(scope)
            kind = wire.media_type(headers.get("content-type", ""))
            key = self._receiver.authenticate(headers.get("authorization", ""))
            body = await _body(receive, headers, self._receiver.max_bytes)
            checked = await self._receiver.accept(
                key, signal, kind, headers.get("content-encoding", ""), body
            )
        except Refused as wrong:
            self._receiver.refused(wrong)
            await _refuse(send, _error_kind(kind, headers), wrong)
        except ConnectionError:
            return  # the client went away in the middle of its request
        except Exception:
            logger.exception("a request failed")
            await _refuse(send, kind, Refused(503, 14, "internal", "the collector failed; try again", 5))
        else:
            await _answer(send, 200, kind, wire.success(kind, signal, checked), [])


def _signal(scope: Scope) -> Signal:
    path = str(scope["path"]).rstrip("/")
    signal = _SIGNALS.get(path)
    if signal is None:
        raise Refused(
            404, 12, "unknown_path", f"there is no {path}: OTLP is received at /v1/traces and /v1/logs"
        )
    if scope["method"] != "POST":
        raise Refused(405, 12, "method", f"{path} takes POST only")
    return signal


async def _body(receive: Receive, headers: dict[str, str], limit: int) -> bytes:
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise errors.too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise errors.too_large(limit)
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _error_kind(kind: str, headers: dict[str, str]) -> str:
    """Errors found before the content type was read are told in JSON to whoever speaks JSON."""
    return wire.JSON if wire.JSON in headers.get("content-type", "").lower() else kind


async def _refuse(send: Send, kind: str, wrong: Refused) -> None:
    extra: list[tuple[bytes, bytes]] = []
    if wrong.retry_after_s is not None:
        extra.append((b"retry-after", str(wrong.retry_after_s).encode()))
    if wrong.http_status == 401:
        extra.append((b"www-authenticate", b"Bearer"))
    if wrong.http_status == 405:
        extra.append((b"allow", b"POST"))
    if wrong.http_status == 413:
        extra.append((b"connection", b"close"))  # the rest of the body is not read
    await _answer(send, wrong.http_status, kind, wire.status(kind, wrong.grpc_code, wrong.message), extra)


async def _answer(send: Send, status: int, kind: str, body: bytes, extra: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
