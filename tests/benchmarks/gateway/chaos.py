"""A primary that fails in every way at 20 %, a healthy backup: success, answers to the wrong caller, records."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from spanledger.serving.snapshot import ProjectSnapshot, Route, Target, Upstream
from spanledger.testing.model_server import ModelServer
from spanledger.testing.model_server.behaviour import Call
from tests.benchmarks.gateway.rig import KEY, MODEL, gateway, snapshot
from tests.benchmarks.report import Figure, at_least
from tests.gateway.collector import StandInCollector

FAULTS: list[dict[str, Any]] = [
    {"error_status": 500, "error_rate": 0.2},
    {"error_status": 429, "error_rate": 0.2},
    {"fault": "timeout", "error_rate": 0.2},
    {"fault": "reset", "error_rate": 0.2},
    {"fault": "malformed", "error_rate": 0.2},
]
CALLS, AT_ONCE = 300, 32


def echo(call: Call) -> str:
    """The question back, so that an answer shows whose it is."""
    return f"you asked {call.question}"


async def _ask(session: aiohttp.ClientSession, port: int, name: str, stream: bool) -> str:
    body = {"model": MODEL, "messages": [{"role": "user", "content": name}], "stream": stream}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    async with session.post(url, json=body, headers={"authorization": f"Bearer {KEY}"}) as answer:
        text = (await answer.read()).decode()
        if answer.status != 200 or '"error"' in text:
            return f"failed {answer.status}"
    joined = "".join(part.split('"')[0] for part in text.split('"content":"')[1:])
    return "ok" if joined == f"you asked {name}" else "wrong caller"


async def _load(port: int, label: str) -> Counter[str]:
    gate = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(number: int) -> str:
            async with gate:
                return await _ask(session, port, f"{label}{number}", number % 2 == 0)

        return Counter(await asyncio.gather(*(one(number) for number in range(CALLS))))


def chaos(folder: Path, redis_url: str) -> list[Figure]:
    """Figures over all faults together."""
    collector = StandInCollector()
    collector.start()
    totals: Counter[str] = Counter()
    with ModelServer(answer=echo) as primary, ModelServer(answer=echo) as backup:
        project = ProjectSnapshot(
            upstreams={
                "primary": Upstream(
                    base_url=primary.base_url, allow_private=True, timeout_s=1, first_token_timeout_s=1
                ),
                "backup": Upstream(base_url=backup.base_url, allow_private=True),
            },
            routes={
                MODEL: Route(
                    targets=(
                        Target(upstream="primary", model=MODEL),
                        Target(upstream="backup", model=MODEL, role="fallback"),
                    )
                )
            },
        )
        given = replace(snapshot(1), version="chaos", projects={"bench": project})
        collector.snapshot = given
        with gateway(folder, redis_url, given, collector.url) as (_, port):
            for number, fault in enumerate(FAULTS):
                primary.reset()
                primary.set(**fault)
                totals += asyncio.run(_load(port, f"round{number}call"))
            attempts = _attempts(port)
            recorded = _recorded(collector, attempts)
    collector.stop()
    calls = sum(totals.values())
    wrong = totals["wrong caller"]
    return [
        at_least("chaos: success", totals["ok"] / calls * 100, 99.9, " %"),
        Figure("chaos: answers to the wrong caller", str(wrong), "= 0", wrong == 0),
        Figure("chaos: attempts recorded", f"{recorded} of {attempts}", "all", recorded == attempts),
    ]


def _attempts(port: int) -> int:
    """What the gateway itself counted."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        lines = page.read().decode().splitlines()
    return int(
        sum(float(line.split()[-1]) for line in lines if line.startswith("spanledger_gateway_attempts_total"))
    )


def _recorded(collector: StandInCollector, expected: int) -> int:
    deadline = time.monotonic() + 15
    while True:
        found = sum("spanledger.attempt" in span.attributes for span in collector.spans)
        if found >= expected or time.monotonic() > deadline:
            return found
        time.sleep(0.1)
