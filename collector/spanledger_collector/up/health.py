"""A role's health check in, whether it answers out."""

from __future__ import annotations

import asyncio
import http.client
import time
from typing import Any
from urllib.parse import urlsplit

from .roles import Health

TRY_S = 2.0
BEAT_S = 5.0  # a Celery worker tells that it lives at its start and every two seconds
PAUSE_S = 0.05
HEARTBEATS = "/*.celeryev/worker.*"  # Redis channels of Celery's worker-online and -heartbeat events


async def wait_healthy(health: Health) -> None:
    """Return once the check is passed; cancel to give up."""
    while not await is_healthy(health):
        await asyncio.sleep(PAUSE_S)


async def is_healthy(health: Health) -> bool:
    """Ask once."""
    if health.kind == "none":
        return True
    if health.kind == "http":
        return await _http_answers(health.url)
    return await _redis_answers(health.url, heartbeat=health.kind == "heartbeat")


async def _http_answers(url: str) -> bool:
    try:
        return await asyncio.wait_for(asyncio.to_thread(_http_status, url), TRY_S * 2) == 200
    except (OSError, TimeoutError, http.client.HTTPException):
        return False


def _http_status(url: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TRY_S)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    finally:
        connection.close()


async def _redis_answers(url: str, *, heartbeat: bool) -> bool:
    from redis.asyncio import Redis  # a fifth of a second to import: not before the first role is started
    from redis.exceptions import RedisError

    broker: Any = Redis.from_url(url, socket_timeout=TRY_S)  # pyright: ignore[reportUnknownMemberType]
    try:
        return await _heard(broker) if heartbeat else bool(await broker.execute_command("PING"))
    except (RedisError, OSError, TimeoutError):
        return False
    finally:
        await broker.aclose()


async def _heard(broker: Any) -> bool:
    """Whether a worker's heartbeat comes within a few seconds."""
    async with broker.pubsub() as channel:
        await channel.psubscribe(HEARTBEATS)
        deadline = time.monotonic() + BEAT_S
        while (left := deadline - time.monotonic()) > 0:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=left)
            if message is not None:
                return True
    return False
