"""Streams through a gateway and past it: time to first token, and CPU per paced chunk."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

import aiohttp

from tests.benchmarks.gateway.rig import KEY, MODEL, gateway, snapshot
from tests.benchmarks.process import cpu_s
from tests.benchmarks.report import Figure, at_most
from tests.servers import free_port, listens, spawn

CHUNKS, GAP_MS, STREAMS = 200, 5, 16
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True, "temperature": 0.5}


async def first_content(session: aiohttp.ClientSession, port: int, number: int) -> float:
    """Seconds until the first content of one stream, which is read to its end."""
    started = time.perf_counter()
    first = 0.0
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    body = {**BODY, "messages": [{"role": "user", "content": f"{started} {number}"}]}
    async with session.post(url, json=body, headers={"authorization": f"Bearer {KEY}"}) as answer:
        seen = b""
        async for data in answer.content.iter_any():
            seen = (seen + data)[-4000:]
            if not first and b"token " in seen:
                first = time.perf_counter() - started
        if b"[DONE]" not in seen:
            raise RuntimeError(f"a stream did not end well: {seen[-500:]!r}")
    return first


async def _first_contents(ports: tuple[int, int], rounds: int) -> tuple[float, float]:
    """Median seconds to first content, direct and through the gateway, in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    async with aiohttp.ClientSession() as session:
        for number in range(rounds):
            for port, found in zip(ports, times, strict=True):
                found.append(await first_content(session, port, number))
    return statistics.median(times[0][5:]), statistics.median(times[1][5:])


async def _paced(port: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(first_content(session, port, number) for number in range(STREAMS)))


def streams(folder: Path, redis_url: str) -> list[Figure]:
    """All figures about streams."""
    short, paced = free_port(), free_port()
    argv = [sys.executable, "-m", "tests.benchmarks.gateway.upstream"]
    figures: list[Figure] = []
    with (
        spawn([*argv, str(short), "1", "0"], folder / "short.log", listens(short)),
        spawn([*argv, str(paced), str(CHUNKS), str(GAP_MS)], folder / "paced.log", listens(paced)),
    ):
        with gateway(folder, redis_url, snapshot(short)) as (_, port):
            direct, through = asyncio.run(_first_contents((short, port), 200))
            figures.append(
                at_most("added time to first token, p50", (through - direct) * 1000, 1.2, " ms", 3)
            )
        with gateway(folder, redis_url, snapshot(paced)) as (server, port):
            asyncio.run(_paced(port))
            before = cpu_s(server.process.pid)
            for _ in range(3):
                asyncio.run(_paced(port))
            used = (cpu_s(server.process.pid) - before) / (3 * STREAMS * CHUNKS) * 1e6
            figures.append(at_most("CPU per streamed chunk, paced", used, 60, " us", 1))
    return figures
