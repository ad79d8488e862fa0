"""Raw ASGI: requests in, to serving or to the few plain endpoints; background work starts and ends here."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
import uuid
from collections.abc import Coroutine
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from spanledger import settings as sdk
from spanledger.prices import PriceTable
from spanledger.recorder import Recorder
from spanledger.serving.asks import Endpoint
from spanledger.serving.refusals import RefusedError

from . import hooks, metrics
from .access import Rates, authenticate
from .answers import AnswerCache
from .asgi import Receive, Scope, Send, headers_of, send_json, send_whole
from .attempts import Attempts
from .audits import Audits
from .cache_log import CacheLog
from .embeddings import Embeddings
from .engines import Engines
from .ledger import Ledger
from .meanings import Meanings
from .models import list_models, one_model
from .pricing import Pricing
from .recording import Recording
from .redis_link import RedisLink
from .registry import RegistryFeed
from .serving import Parts, Serving
from .settings import GatewaySettings, load
from .shadow import Shadows
from .states import RouteStates, listen
from .upstreams import Upstreams

logger = logging.getLogger("spanledger.gateway")

ENDPOINTS: dict[str, Endpoint] = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
    "/v1/messages": "messages",
}


class Gateway:
    """The ASGI application of one gateway process."""

    def __init__(self, settings: GatewaySettings, recorder: Recorder) -> None:
        self.settings = settings
        self.hooks = hooks.load(settings.gateway_hooks)
        self.recorder = recorder
        self._tasks: list[asyncio.Task[Any]] = []
        self._serving: Serving | None = None
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        endpoint = ENDPOINTS.get(path)
        if endpoint is not None and scope["method"] == "POST" and self._serving is not None:
            self._in_flight += 1
            try:
                await self._serving(endpoint, scope, receive, send)
            except Exception:  # noqa: BLE001  the edge of an HTTP request
                await self._broken(endpoint, send)
            finally:
                self._in_flight -= 1
        elif endpoint is not None:
            refused = RefusedError(405, "method_not_allowed", f"{path} takes POST only")
            await send_whole(send, 405, [*refused.headers(), (b"allow", b"POST")], refused.body(endpoint))
        else:
            await self._plain(path, scope, send)

    @staticmethod
    async def _broken(endpoint: Endpoint, send: Send) -> None:
        """A fault of our own: logged with its trace, told without it. Nothing can be told once a stream began."""
        logger.exception("a request to %s failed", endpoint)
        metrics.REQUESTS.labels(endpoint, "500").inc()
        refused = RefusedError(500, "internal_error", "the gateway failed; its log says why")
        with contextlib.suppress(RuntimeError):
            await send_whole(send, 500, refused.headers(), refused.body(endpoint))

    async def _plain(self, path: str, scope: Scope, send: Send) -> None:
        if path == "/healthz":
            await send_json(send, 200, {"status": "ok"})
        elif path == "/readyz":
            await self._readyz(send)
        elif path == "/metrics":
            content = (b"content-type", CONTENT_TYPE_LATEST.encode())
            await send_whole(send, 200, [content], self._metrics())
        elif path == "/v1/models" or path.startswith("/v1/models/"):
            await self._models(path, scope, send)
        else:
            refused = RefusedError(404, "not_found", f"there is no {scope['method']} {path} here")
            await send_whole(send, 404, refused.headers(), refused.body("chat"))

    async def _readyz(self, send: Send) -> None:
        """Ready once there is a snapshot to serve from, of whatever age."""
        source = self.feed.source
        version = self.feed.registry.snapshot.version
        ready = source != "none"
        await send_json(send, 200 if ready else 503, {"ready": ready, "snapshot": version, "source": source})

    async def _models(self, path: str, scope: Scope, send: Send) -> None:
        headers = headers_of(scope)
        is_anthropic = "anthropic-version" in headers
        try:
            key = authenticate(self.feed.registry, headers)
            project = self.feed.registry.project(key.project)
            name = path.removeprefix("/v1/models").removeprefix("/")
            answer = one_model(project, name, is_anthropic) if name else list_models(project, is_anthropic)
            await send_json(send, 200, answer)
        except RefusedError as refused:
            body = refused.body("messages" if is_anthropic else "chat")
            await send_whole(send, refused.status, refused.headers(), body)

    def _metrics(self) -> bytes:
        metrics.IN_FLIGHT.set(self._in_flight)
        metrics.flush()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
            return generate_latest(registry)
        return generate_latest(REGISTRY)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def start(self) -> None:
        """Open connections, read what was last known, ask the collector once, start to follow it."""
        settings = self.settings
        self.upstreams = Upstreams(settings.gateway_connect_timeout_s)
        self.link = RedisLink(settings.redis_url)
        self.feed = RegistryFeed(settings)
        self.states = RouteStates(
            self.link, lambda: self.feed.registry.routes(), settings.folder, settings.gateway_poll_s
        )
        self.ledger = Ledger(self.link, settings.gateway_budget_wait_s)
        self.pricing = Pricing()
        self.engines = Engines(self.upstreams, lambda: self.feed.registry.snapshot)
        self.attempts = Attempts(settings, self.upstreams, self.engines, self.ledger, self.pricing)
        recording = Recording(self.recorder, content=settings.gateway_content == "full")
        self.shadows = Shadows(self.upstreams, self.ledger, self.pricing, recording.shadow)
        self.audits = Audits(self.attempts, self.ledger, self.pricing, recording)
        writer = uuid.uuid4().hex
        embeddings = Embeddings(self.upstreams, self.ledger, self.pricing, recording.beside)
        self.meanings = Meanings(self.link, embeddings, writer)
        cache = AnswerCache(
            self.link,
            settings.gateway_cache_mb << 20,
            self.meanings,
            settings.gateway_flight_wait_s,
            self.attempts.first,
        )
        self.cache_log = CacheLog(self.link, self.feed, cache, self.meanings, writer, settings.gateway_poll_s)
        self._serving = Serving(
            Parts(
                registry=lambda: self.feed.registry,
                states=self.states,
                attempts=self.attempts,
                cache=cache,
                ledger=self.ledger,
                pricing=self.pricing,
                recording=recording,
                rates=Rates(self.link, settings.gateway_workers),
                hooks=self.hooks,
                shadows=self.shadows,
                audits=self.audits,
                max_body=settings.gateway_max_body_mb << 20,
            )
        )
        self.feed.read_disk()
        self.states.read_disk()
        await self.feed.refresh(self.upstreams)
        await self.states.refresh()
        wake = {"registry": self.feed.wake, "route": self.states.wake, "cache": self.cache_log.wake}
        self._follow(self.feed.run(self.upstreams))
        self._follow(self.states.run())
        self._follow(self.cache_log.run())
        self._follow(listen(self.link, wake))
        self._follow(self.ledger.run())
        self._follow(self._count())
        self._follow(self.engines.run())
        self._follow(asyncio.to_thread(_load_prices))
        # What lives from here on is never garbage, and a request leaves no cycles: looking for them seldom
        # spares a tenth of the time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)

    async def stop(self) -> None:
        """Stop following, settle what is under way, hand the journal over."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.shadows.close()
        await self.audits.close()
        await self.meanings.close()
        await self.ledger.close()
        await self.link.close()
        await self.upstreams.close()
        await asyncio.to_thread(self.recorder.close)

    async def _count(self) -> None:
        """Keep current what another worker's ``/metrics`` shows of this one, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            metrics.IN_FLIGHT.set(self._in_flight)
            metrics.flush()

    def _follow(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))


def _load_prices() -> None:
    """Read the public price table now, so that no request has to wait for it."""
    PriceTable().rates("openai", "gpt-4o", time.time_ns())


def create() -> Gateway:
    """The application as the environment configures it; for ``uvicorn --factory``."""
    return Gateway(load(), Recorder(sdk.load(project="*", team="", service="spanledger-gateway")))
