"""The row about single flight: 1,000 identical requests at once, and how many of them reach the provider."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections import Counter
from pathlib import Path

import aiohttp

from spanledger.serving.snapshot import CacheRule
from spanledger.testing.model_server import ModelServer
from tests.benchmarks.report import Figure
from tests.gateway.collector import StandInCollector
from tests.gateway.conftest import KEY, MODEL, RunningGateway, running
from tests.servers import valkey

REQUESTS = 1_000


def figures() -> list[Figure]:
    """One gateway, one question, a provider that takes a second."""
    collector = StandInCollector()
    collector.start()
    try:
        with (
            tempfile.TemporaryDirectory() as made,
            valkey(Path(made)) as redis_url,
            running(Path(made), collector, redis_url) as gateway,
            ModelServer(answer="Paris.", first_token_s=1.0) as provider,
        ):
            gateway.route(provider, cache=CacheRule())
            states = asyncio.run(_together(gateway))
            calls = len(provider.calls)
    finally:
        collector.stop()
    answered = states["miss"] + states["exact"]
    return [
        Figure(f"{REQUESTS:,} identical requests at once: upstream calls", str(calls), "1", calls == 1),
        Figure("of them answered", str(answered), str(REQUESTS), answered == REQUESTS),
    ]


async def _together(gateway: RunningGateway) -> Counter[str]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": uuid.uuid4().hex}]}
    headers = {"authorization": f"Bearer {KEY}"}
    url = f"{gateway.base_url}/chat/completions"

    async def one(session: aiohttp.ClientSession) -> str:
        async with session.post(url, json=body, headers=headers) as answer:
            await answer.read()
            return answer.headers["x-spanledger-cache"] if answer.status == 200 else str(answer.status)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return Counter(await asyncio.gather(*(one(session) for _ in range(REQUESTS))))
