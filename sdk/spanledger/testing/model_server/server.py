"""A stand-in model server inside the caller's process: a behaviour in, a listening URL out."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from spanledger.testing.model_server.app import build
from spanledger.testing.model_server.behaviour import Behaviour, Call
from spanledger.testing.model_server.state import State

STOP_S = 1.0


class ModelServer:
    """A model server on loopback, in a thread and event loop of its own.

    Works in synchronous and asynchronous tests alike::

        with ModelServer(answer="Paris.", flavour="vllm") as server:
            client = openai.OpenAI(base_url=server.base_url, api_key="any")
            server.set(error_status=500, error_times=2)
            ...
            assert server.calls[0].question == "What is the capital of France?"
    """

    def __init__(
        self, behaviour: Behaviour | None = None, *, host: str = "127.0.0.1", port: int = 0, **settings: Any
    ) -> None:
        """Take a behaviour, or its fields by name; ``port`` 0 takes a free one.

        Raises:
            ValueError: a setting that does not exist or is not allowed.
        """
        self.state = State((behaviour or Behaviour()).changed(settings))
        self._host, self._port = host, port
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="model-server", daemon=True)

    @property
    def url(self) -> str:
        """``http://host:port``, what an Anthropic client takes as its base URL."""
        return f"http://{self._host}:{self._port}"

    @property
    def base_url(self) -> str:
        """``url`` with ``/v1``, what an OpenAI client takes as its base URL."""
        return f"{self.url}/v1"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def behaviour(self) -> Behaviour:
        """What it does now."""
        return self.state.behaviour

    @property
    def calls(self) -> list[Call]:
        """The calls received since the start or the last reset, refused ones too."""
        return list(self.state.calls)

    @property
    def counts(self) -> dict[str, int]:
        """``requests``, and how many ended ``ok, error, cut, reset, timeout, disconnected`` or are ``open``."""
        return self.state.counts()

    def set(self, **changes: Any) -> None:
        """Change the behaviour of calls that arrive from now on.

        Raises:
            ValueError: a setting that does not exist or is not allowed.
        """
        self.state.change(changes)

    def reset(self) -> None:
        """Back to the first behaviour; forget the calls."""
        self.state.reset()

    def wait_for(self, outcome: str, count: int = 1, timeout_s: float = 5.0) -> None:
        """Wait until so many calls ended in this way; a disconnect is noticed a moment later.

        Raises:
            TimeoutError: it did not happen; tells the counts.
        """
        deadline = time.monotonic() + timeout_s
        while self.counts.get(outcome, 0) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout_s} s for {count} x {outcome}; counts: {self.counts}")
            time.sleep(0.01)

    def start(self) -> Self:
        """Listen; returns when connections are accepted."""
        self._thread.start()
        self._run(self._start())
        return self

    def stop(self) -> None:
        """Break what is open and stop listening; the port is free on return. May be called twice."""
        if self._runner is None:
            return
        self._run(self._let_go(self._runner))
        self._runner = None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _start(self) -> None:
        self._runner = await listen(self.state, self._host, self._port)
        self._port = self._runner.addresses[0][1]

    @staticmethod
    async def _let_go(runner: web.AppRunner) -> None:
        for site in list(runner.sites):
            await site.stop()
        await _turns()  # whom the socket had accepted by then becomes a connection
        server = runner.server
        open_yet = (
            [one.transport for one in server.connections if one.transport] if server is not None else []
        )
        await runner.cleanup()
        for (
            transport
        ) in open_yet:  # one with something to send to a caller who does not read would never close
            transport.abort()
        await _turns()

    def _run(self, work: Any) -> None:
        done: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result()


async def _turns() -> None:
    """A few turns of the loop, in which it makes what was accepted and closes what was let go."""
    for _ in range(5):
        await asyncio.sleep(0)


async def listen(state: State, host: str, port: int) -> web.AppRunner:
    """Serve a state on a port of the running loop; clean the runner up to stop."""
    # A caller that goes away cancels its handler, as it aborts the request in a real server.
    runner = web.AppRunner(build(state), handler_cancellation=True, shutdown_timeout=STOP_S, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
