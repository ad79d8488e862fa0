"""Verdicts on cached answers and the deletion of kept ones, against a real Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
import redis
from fastapi import FastAPI

from spanledger.cli import main
from spanledger.serving.caching import Entry
from spanledger_collector.store.kept_answers import KeptAnswers
from tests.collector.rows import call
from tests.servers import free_port

from .conftest import BOOTSTRAP, Ledger
from .test_calls import listed

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]

TRACE, SPAN = f"{1:032x}", f"{1:016x}"
KEPT = Entry(
    body=b"{}", stored_at=1, route="faq", user="ann", tags="de, beta", prompt="help@3", corpus="2025", question="Wo  ist es?"
)  # fmt: skip


@pytest.fixture
def broker(ledger: Ledger, redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:  # pyright: ignore[reportUnknownMemberType]
        ledger.app.state.kept = KeptAnswers(client)
        yield client


def keep(broker: redis.Redis, project: str, number: int, **changes: Any) -> str:
    name = f"{number:032x}"
    broker.set(f"spanledger:cache:{project}:{name}", replace(KEPT, **changes).encode())
    broker.zadd(f"spanledger:cache-used:{project}:faq", {name: number})
    return name


def left(broker: redis.Redis, project: str) -> list[int]:
    prefix = f"spanledger:cache:{project}:"
    keys = cast(list[bytes], broker.keys(f"{prefix}*"))  # pyright: ignore[reportUnknownMemberType]
    return sorted(int(key.decode()[len(prefix) :], 16) for key in keys)


def logged(broker: redis.Redis) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in cast(Any, broker.xrange("spanledger:cache-log"))]


def test_a_wrong_hit_is_scored_and_its_entry_deleted_and_announced(
    ledger: Ledger, broker: redis.Redis
) -> None:
    ledger.insert(call(1, cache="semantic", route="faq"))
    entry = keep(broker, ledger.project, 7)
    writer = ledger.client("ingest", "read")
    with cast(Any, broker).pubsub() as channel:
        channel.subscribe("spanledger:changes")
        assert channel.get_message(timeout=5)
        body = {"correct": False, "trace_id": TRACE, "span_id": SPAN, "comment": "another city"}
        answer = writer.post(f"/api/cache/entries/{entry}/verdict", json=body)
        assert (answer.status_code, answer.json()["dropped"]) == (200, True), answer.text
        told = cast(dict[str, Any], channel.get_message(timeout=5))
    assert json.loads(told["data"]) == {"kind": "cache", "project": ledger.project}
    (score,) = listed(writer, "scores")
    assert (score["name"], score["value"], score["source"]) == ("cache_hit_correct", 0, "human")
    assert score["explanation"] == "another city"
    assert left(broker, ledger.project) == []
    assert broker.zcard(f"spanledger:cache-used:{ledger.project}:faq") == 0
    (drop,) = logged(broker)
    assert (drop[b"op"], drop[b"entry"].decode(), drop[b"reason"]) == (b"drop", entry, b"wrong")


def test_a_right_hit_is_scored_and_stays(ledger: Ledger, broker: redis.Redis) -> None:
    ledger.insert(call(1))
    entry = keep(broker, ledger.project, 7)
    writer = ledger.client("ingest", "read")
    body = {"correct": True, "trace_id": TRACE, "span_id": SPAN}
    assert writer.post(f"/api/cache/entries/{entry}/verdict", json=body).json()["dropped"] is False
    for unclear in (1, "yes", None):
        refused = writer.post(f"/api/cache/entries/{entry}/verdict", json={**body, "correct": unclear})
        assert refused.status_code == 422
    assert [score["value"] for score in listed(writer, "scores")] == [1]
    assert left(broker, ledger.project) == [7]


@pytest.mark.parametrize(
    ("selection", "gone"),
    [
        ({"route": "faq"}, [1, 2, 3, 4, 5, 6]),
        ({"prompt": "help"}, [1, 2, 3, 4, 5, 6]),
        ({"prompt": "help@4"}, [2]),
        ({"corpus": "2024"}, [3]),
        ({"tag": "beta"}, [1, 2, 3, 5, 6]),
        ({"user": "ben"}, [5]),
        ({"query": "wo ist  ES?"}, [1, 2, 3, 4, 5]),
        ({"entry": f"{4:032x}"}, [4]),
        ({"route": "faq", "user": "nobody"}, []),
    ],
    ids=str,
)
def test_entries_are_deleted_by_what_is_known_of_them(
    ledger: Ledger, broker: redis.Redis, selection: dict[str, str], gone: list[int]
) -> None:
    changes: list[dict[str, str]] = [
        {}, {"prompt": "help@4"}, {"corpus": "2024"}, {"tags": "de"}, {"user": "ben"}, {"question": "Was?"}
    ]  # fmt: skip
    for number, change in enumerate(changes, 1):
        keep(broker, ledger.project, number, **change)
    keep(broker, f"{ledger.project}x", 1)
    admin = ledger.client("admin")
    answer = admin.post("/api/cache/invalidate", json=selection)
    assert answer.json() == {"deleted": len(gone)}, answer.text
    assert left(broker, ledger.project) == [n for n in range(1, 7) if n not in gone]
    assert left(broker, f"{ledger.project}x") == [1]
    assert sorted(int(fields[b"entry"], 16) for fields in logged(broker)) == gone


def test_nothing_is_deleted_by_an_empty_selection_or_a_lesser_key(
    ledger: Ledger, broker: redis.Redis
) -> None:
    keep(broker, ledger.project, 1)
    assert ledger.client("admin").post("/api/cache/invalidate", json={}).status_code == 422
    assert ledger.client("ingest").post("/api/cache/invalidate", json={"route": "faq"}).status_code == 403
    body = {"correct": False, "trace_id": TRACE, "span_id": SPAN}
    assert ledger.client("read").post(f"/api/cache/entries/{1:032x}/verdict", json=body).status_code == 403
    assert left(broker, ledger.project) == [1]


def test_without_redis_the_answer_says_so(ledger: Ledger) -> None:
    ledger.app.state.kept = KeptAnswers(redis.Redis(port=free_port(), socket_connect_timeout=1))
    answer = ledger.client("admin").post("/api/cache/invalidate", json={"route": "faq"})
    assert answer.status_code == 503
    assert "ask again" in answer.json()["detail"]


def test_the_command_deletes_and_judges(
    app: FastAPI,
    broker: redis.Redis,
    served: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app.state.kept = KeptAnswers(broker)
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", served)
    monkeypatch.setenv("SPANLEDGER_KEY", BOOTSTRAP)
    for number in (1, 2, 3):
        keep(broker, "default", number, user=f"user{number}")
    assert main(["cache", "erase", "user1"]) == 0
    assert main(["cache", "invalidate", "--route", "faq", "--entry", f"{2:032x}"]) == 0
    assert main(["cache", "wrong", f"{3:032x}", TRACE, SPAN]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 entries deleted",
        "1 entries deleted",
        "the entry is deleted",
    ]
    assert left(broker, "default") == []
