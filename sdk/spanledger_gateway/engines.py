"""vLLM engines' ``/metrics`` in; how busy each was at the last look, plus what we sent it since, out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from spanledger.serving.engine import Engine, read
from spanledger.serving.snapshot import Snapshot, Upstream

from . import metrics
from .http.errors import HttpError
from .upstreams import Upstreams

logger = logging.getLogger("spanledger.gateway")

_EVERY_S = 1.0
_AFTER_FAILURE_S = 10.0
_STALE_S = 5.0
_LARGEST = 8 << 20
_LIMIT_S = 2.0


@dataclass(slots=True)
class _Look:
    engine: Engine
    at: float
    sent: int = 0  # requests begun since
    next_at: float = 0.0


class Engines:
    """Looks at every vLLM upstream once a second."""

    def __init__(self, upstreams: Upstreams, snapshot: Callable[[], Snapshot]) -> None:
        self._upstreams = upstreams
        self._snapshot = snapshot
        self._looks: dict[str, _Look] = {}

    def get(self, upstream: Upstream | None) -> Engine | None:
        """The engine as last seen; None when that is too long ago or it is no engine."""
        look = self._looks.get(upstream.base_url) if upstream else None
        return look.engine if look and time.monotonic() - look.at < _STALE_S else None

    def load(self, upstream: Upstream | None) -> float:
        """Requests it has to work on, those sent since the last look included."""
        look = self._looks.get(upstream.base_url) if upstream else None
        return look.engine.load + look.sent if look else 0.0

    def sent(self, upstream: Upstream) -> None:
        """A request goes to it now."""
        if look := self._looks.get(upstream.base_url):
            look.sent += 1

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            found = {
                upstream.base_url: upstream
                for project in self._snapshot().projects.values()
                for upstream in project.upstreams.values()
                if upstream.protocol == "vllm"
            }
            self._looks = {url: look for url, look in self._looks.items() if url in found}
            await asyncio.gather(*(self._look(upstream) for upstream in found.values()))
            await asyncio.sleep(_EVERY_S)

    async def _look(self, upstream: Upstream) -> None:
        look = self._looks.setdefault(upstream.base_url, _Look(Engine(), 0.0))
        now = time.monotonic()
        if now < look.next_at:
            return
        try:
            status, page = await self._upstreams.page(
                metrics_url(upstream),
                allow_private=upstream.allow_private,
                limit_s=_LIMIT_S,
                largest=_LARGEST,
            )
            if status != 200:
                raise HttpError(f"it answered {status}")
        except (OSError, TimeoutError) as wrong:
            look.next_at = now + _AFTER_FAILURE_S
            metrics.count(metrics.ENGINE_ERRORS, upstream.base_url)
            logger.debug("no metrics of %s: %s", upstream.base_url, wrong)
            return
        look.engine, look.at, look.sent = read(page.decode("utf-8", "replace")), time.monotonic(), 0


def metrics_url(upstream: Upstream) -> str:
    """Where the engine shows its metrics: as configured, else ``/metrics`` at the root of its address."""
    if upstream.metrics_url:
        return upstream.metrics_url
    parts = urlsplit(upstream.base_url)
    return f"{parts.scheme}://{parts.netloc}/metrics"
