"""An HTTP response's byte stream in, the same stream out, with every chunk shown to a model call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

from spanledger.wrappers.model_call import ModelCall


class _Shown:
    """State shared by both kinds of stream."""

    stream: Any
    call: ModelCall

    def over(self, error: BaseException | None = None, *, early: bool = False) -> None:
        self.call.finish(error, closed_early=early)


class _SyncTee(_Shown):
    def __iter__(self) -> Iterator[bytes]:
        call = self.call
        try:
            for chunk in self.stream:
                if seen := call.feed(chunk):
                    yield seen
            if rest := call.rest():
                yield rest
        except GeneratorExit:
            self.over(early=True)
            raise
        except BaseException as error:
            self.over(error)
            raise
        self.over()

    def close(self) -> None:
        try:
            self.stream.close()
        finally:
            self.over(early=True)


class _AsyncTee(_Shown):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        call = self.call
        try:
            async for chunk in self.stream:
                if seen := call.feed(chunk):
                    yield seen
            if rest := call.rest():
                yield rest
        except GeneratorExit:
            self.over(early=True)
            raise
        except BaseException as error:
            self.over(error)
            raise
        self.over()

    async def aclose(self) -> None:
        try:
            await self.stream.aclose()
        finally:
            self.over(early=True)


def kind_of(value: object) -> Any:
    """Its class, of which nothing is known."""
    return type(value)


@cache
def _class_for(stream_type: type, asynchronous: bool) -> Any:
    """A tee that passes httpx's instance checks, whichever httpx (httpx, httpx2) the client uses."""
    wanted = "AsyncByteStream" if asynchronous else "SyncByteStream"
    base: type = next((kind for kind in stream_type.__mro__ if kind.__name__ == wanted), object)
    return type("Tee", (_AsyncTee if asynchronous else _SyncTee, base), {})


def show(response: Any, call: ModelCall, *, asynchronous: bool) -> None:
    """From now on, what is read of the response is shown to the call."""
    tee: Any = _class_for(kind_of(response.stream), asynchronous)()
    tee.stream, tee.call = response.stream, call
    response.stream = tee
