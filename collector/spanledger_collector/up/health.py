"""A role's health check in, whether it answers out. Standard library only: it runs before anything is warm."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import urlsplit

from .roles import Health

TRY_S = 2.0
PAUSE_S = 0.05


async def wait_healthy(health: Health, password: str = "") -> None:
    """Return once the check is passed; cancel to give up."""
    while not await is_healthy(health, password):
        await asyncio.sleep(PAUSE_S)


async def is_healthy(health: Health, password: str = "") -> bool:
    """Ask once."""
    if health.kind == "none":
        return True
    ask = _redis_answers(health.url, password) if health.kind == "redis" else _http_answers(health.url)
    try:
        return await asyncio.wait_for(ask, TRY_S)
    except (OSError, TimeoutError, http.client.HTTPException):
        return False


async def _http_answers(url: str) -> bool:
    return await asyncio.to_thread(_http_status, url) == 200


def _http_status(url: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TRY_S)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    finally:
        connection.close()


async def _redis_answers(address: str, password: str) -> bool:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(f"AUTH {password}\r\nPING\r\n".encode() if password else b"PING\r\n")
        if password:
            await reader.readline()
        return (await reader.readline()).startswith(b"+PONG")
    finally:
        writer.close()
