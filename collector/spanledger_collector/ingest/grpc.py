"""OTLP/gRPC on a port of its own: bytes in, the same receiver as OTLP/HTTP behind."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc
import grpc.aio

from . import wire
from .errors import Refused
from .receive import Receiver
from .wire import Signal

logger = logging.getLogger(__name__)

_METHODS: dict[str, Signal] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
}
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_CODES = {cast(int, code.value[0]): code for code in grpc.StatusCode}

_handler = cast(Callable[[Any], object], grpc.unary_unary_rpc_method_handler)
_Call = Callable[[bytes, Any], Awaitable[bytes]]


class OtlpGrpc:
    """A server for one event loop. Messages are passed on as bytes: nothing is decoded twice."""

    def __init__(self, receiver: Receiver, address: str) -> None:
        """Listen on ``host:port`` once started.

        Raises:
            RuntimeError: the address is in use.
        """
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", receiver.max_bytes),
                ("grpc.so_reuseport", 0),  # otherwise two collectors would share the port in silence
            ],
        )
        self._server.add_generic_rpc_handlers((_Handlers(receiver),))
        self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Serve."""
        await self._server.start()

    async def stop(self) -> None:
        """Let running calls finish for a moment, then end."""
        await self._server.stop(grace=2)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method, or None: the client is told UNIMPLEMENTED."""
        signal = _METHODS.get(handler_call_details.method)
        if signal is None:
            return None
        return _handler(self._exporter(signal))

    def _exporter(self, signal: Signal) -> _Call:
        async def export(request: bytes, context: Any) -> bytes:
            metadata = {key.lower(): value for key, value in context.invocation_metadata() or ()}
            try:
                key = self._receiver.authenticate(str(metadata.get("authorization", "")))
                checked = await self._receiver.accept(key, signal, wire.PROTOBUF, "", request)
                return wire.success(wire.PROTOBUF, signal, checked)
            except Refused as wrong:
                self._receiver.refused(wrong)
                refusal = wrong
            except Exception:
                logger.exception("a request failed")
                refusal = Refused(503, 14, "internal", "the collector failed; try again", 5)
            await _abort(context, refusal)
            return b""

        return export


async def _abort(context: Any, wrong: Refused) -> None:
    trailers: tuple[tuple[str, bytes], ...] = ()
    if wrong.retry_after_s is not None:
        trailers = (("grpc-status-details-bin", wire.status_with_retry(wrong, _RETRY_INFO)),)
    await context.abort(_CODES[wrong.grpc_code], wrong.message, trailers)
