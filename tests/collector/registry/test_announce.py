"""A change is told on the channel that gateways listen to; without Redis it is counted and stands."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
import redis
from prometheus_client import generate_latest
from redis.backoff import NoBackoff
from redis.retry import Retry

from spanledger_collector.store.registry.announce import CHANNEL, RedisAnnouncer
from tests.servers import free_port


@pytest.mark.broker
def test_a_change_is_published(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client, client.pubsub() as listener:  # pyright: ignore[reportUnknownMemberType]
        listener.subscribe(CHANNEL)
        assert listener.get_message(timeout=5) is not None
        RedisAnnouncer(client)("p", "route", "gpt-4o")
        message = cast(dict[str, Any] | None, listener.get_message(timeout=5))
    assert message is not None
    assert json.loads(message["data"]) == {
        "kind": "registry",
        "project": "p",
        "document": "route",
        "name": "gpt-4o",
    }


def counted() -> float:
    """What /metrics says."""
    lines = generate_latest().decode().splitlines()
    return float(
        next(line for line in lines if line.startswith("spanledger_registry_unannounced_total ")).split()[1]
    )


def test_a_broker_that_is_away_is_counted() -> None:
    before = counted()
    with redis.Redis(port=free_port(), socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)) as client:
        RedisAnnouncer(client)("p", "route", "gpt-4o")
    assert counted() == before + 1
