"""Many callers on several gateways, one budget: how many calls are admitted."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import aiohttp

from spanledger.serving.snapshot import Budget, Price
from spanledger.testing.model_server import ModelServer
from tests.benchmarks.gateway.rig import KEY, MODEL, gateway, snapshot
from tests.benchmarks.report import Figure

PROCESSES, CALLERS, CALLS = 4, 64, 100


async def _call(session: aiohttp.ClientSession, port: int, limit: int | None) -> int:
    body: dict[str, object] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    if limit is not None:
        body["max_tokens"] = limit
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    async with session.post(url, json=body, headers={"authorization": f"Bearer {KEY}"}) as answer:
        await answer.read()
        return answer.status


async def _race(ports: list[int], limit: int | None) -> Counter[int]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        calls = [_call(session, port, limit) for port in ports for _ in range(CALLERS)]
        return Counter(await asyncio.gather(*calls))


def race(folder: Path, redis_url: str) -> list[Figure]:
    """One figure for each way callers limit their answers: exactly the calls that fit must be admitted."""
    figures: list[Figure] = []
    price = Price(
        name="p", version=1, provider="openai", model=MODEL, input=Decimal(0), output=Decimal(1_000_000)
    )
    with ModelServer(answer="one two three four five six seven eight nine ten", latency_s=0.01) as server:
        for name, limit in (("exact maximum", 10), ("loose maximum", 500), ("no maximum", None)):
            given = snapshot(server.port)
            project = replace(
                given.projects["bench"],
                budgets={f"race {limit}": Budget(amount=Decimal(10 * CALLS))},
                prices=(price,),
                routes={MODEL: replace(given.projects["bench"].routes[MODEL], cache=None)},
            )
            with contextlib.ExitStack() as stack:
                ports = [
                    stack.enter_context(
                        gateway(
                            folder,
                            redis_url,
                            replace(given, version=f"race-{limit}-{number}", projects={"bench": project}),
                        )
                    )[1]
                    for number in range(PROCESSES)
                ]
                statuses = asyncio.run(_race(ports, limit))
            admitted = statuses[200]
            fine = admitted == CALLS and set(statuses) <= {200, 429}
            label = f"budget for {CALLS} calls, {CALLERS} callers x {PROCESSES} processes, {name}: admitted"
            figures.append(Figure(label, str(admitted), f"= {CALLS}", fine))
    return figures
