"""A route's name in; its state as the workers last wrote it to Redis out. Never waits for Redis.

A thread looks once a second. Without ``SPANLEDGER_REDIS_URL``, without the ``redis`` package, or while Redis is
away, every route is on its primary, as the contract of an absent key says.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any, Final

from spanledger.serving.routing import PRIMARY, RouteState
from spanledger.serving.semantic.decision import CLOSED, Certificate
from spanledger.settings import Settings

logger = logging.getLogger("spanledger")
_EVERY_S: Final = 1.0


class _Watcher:
    """Looks up the routes that were asked for, in the Redis that was named last."""

    def __init__(self) -> None:
        self._states: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._url = ""

    def get(self, key: str, url: str) -> dict[str, str]:
        found = self._states.get(key)
        if found is None or url != self._url:
            with self._lock:
                if url != self._url:
                    self._states = {}
                self._states[key] = found = {}
                if url != self._url or self._thread is None or not self._thread.is_alive():
                    self._url = url
                    self._thread = threading.Thread(
                        target=self._watch, args=(url,), name="spanledger-routes", daemon=True
                    )
                    self._thread.start()
        return found

    def _watch(self, url: str) -> None:
        try:
            from redis import Redis, RedisError
        except ModuleNotFoundError:
            logger.warning("Route states are not obeyed: install redis, or unset SPANLEDGER_REDIS_URL.")
            return
        redis: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, socket_timeout=1, socket_connect_timeout=1, decode_responses=True
        )
        while url == self._url:
            for key in list(self._states):
                try:
                    self._states[key] = redis.hgetall(key)
                except RedisError as error:
                    logger.debug("Redis is away (%s); the last states hold", error)
                    break
            time.sleep(_EVERY_S)


_watcher = _Watcher()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watcher.__init__)


def state_of(route: str, settings: Settings) -> RouteState:
    """The state of a route of this project; primary when nobody says otherwise."""
    url = os.environ.get("SPANLEDGER_REDIS_URL", "")
    if not route or not url:
        return PRIMARY
    return read(_watcher.get(f"spanledger:route:{settings.project}:{route}", url))


def certificate_of(route: str, settings: Settings) -> Certificate:
    """What the workers found about a route's semantic cache; closed when nobody says otherwise."""
    url = os.environ.get("SPANLEDGER_REDIS_URL", "")
    if not url:
        return CLOSED
    fields = _watcher.get(f"spanledger:semantic:{settings.project}:{route}", url)
    return Certificate.read({name.encode(): value.encode() for name, value in fields.items()})


def read(fields: dict[str, str]) -> RouteState:
    """A route's hash in Redis; anything odd in it means primary."""
    if fields.get("state") != "fallback":
        return PRIMARY
    try:
        canary, since = float(fields.get("canary") or 0), int(fields.get("since") or 0)
    except ValueError:
        canary, since = 0.0, 0
    reason, event_id = fields.get("reason", ""), fields.get("event_id", "")
    return RouteState(state="fallback", canary=canary, reason=reason, since=since, event_id=event_id)
