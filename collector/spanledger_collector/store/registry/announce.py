"""Changes of documents in; messages on the Redis channel ``spanledger:changes`` out.

A lost message costs at most the two seconds until gateways poll, so a failure is counted and no more.
"""

from __future__ import annotations

import json

import redis
from prometheus_client import Counter

CHANNEL = "spanledger:changes"

UNANNOUNCED = Counter(
    "spanledger_registry_unannounced_total", "Changed documents whose message could not be sent to Redis."
)


class RedisAnnouncer:
    """Publishes each change; a ``registry.Announce``."""

    def __init__(self, client: redis.Redis) -> None:
        """Publish through ``client``; give it short timeouts, a change waits for it."""
        self._client = client

    def __call__(self, project: str, kind: str, name: str) -> None:
        """Say that a document changed."""
        message = {"kind": "registry", "project": project, "document": kind, "name": name}
        try:
            self._client.publish(CHANNEL, json.dumps(message))  # pyright: ignore[reportUnknownMemberType]
        except redis.RedisError:
            UNANNOUNCED.inc()
