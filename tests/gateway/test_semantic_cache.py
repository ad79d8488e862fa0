"""The semantic cache: closed until certified, then hits; what it records, keeps, drops and asks again."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from spanledger import semconv
from spanledger.serving.semantic import group
from spanledger.serving.snapshot import CacheRule, SemanticRule
from spanledger.testing.model_server import ModelServer
from tests.gateway.collector import StandInCollector
from tests.gateway.conftest import MODEL, Answered, RunningGateway, running

pytestmark = pytest.mark.broker

RULE = CacheRule(ttl_s=600, semantic=SemanticRule(audit_share=1e-9))
STATE = f"spanledger:semantic:shop:{MODEL}"


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:  # pyright: ignore[reportUnknownMemberType]
        yield client


def until(happens: Callable[[], Any], why: str) -> Any:
    deadline = time.monotonic() + 15
    while not (found := happens()):
        assert time.monotonic() < deadline, why
        time.sleep(0.02)
    return found


def metric(gateway: RunningGateway, name: str) -> float:
    lines = gateway.get("/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def announce(broker: redis.Redis) -> None:
    change = json.dumps({"kind": "cache", "project": "shop"})
    broker.publish("spanledger:changes", change)  # pyright: ignore[reportUnknownMemberType]


GROUP = group("shop", MODEL, "minilm-int8")


def certify(gateway: RunningGateway, broker: redis.Redis, **changes: Any) -> None:
    # Closed first: an open state that is seen after it is this one, and none of the test before.
    tell(gateway, broker, {"state": "closed"}, 0.0)
    fields = {"state": "open", "threshold": "0.85", "group": GROUP, "reason": "tests", **changes}
    tell(gateway, broker, fields, 1.0 if (fields["state"], fields["group"]) == ("open", GROUP) else 0.0)


def tell(gateway: RunningGateway, broker: redis.Redis, fields: dict[str, str], is_open: float) -> None:
    for name, value in fields.items():
        broker.hset(STATE, name, value)
    announce(broker)
    until(lambda: metric(gateway, "spanledger_cache_open{") == is_open, "the certificate is not obeyed")


class Questions:
    """A question of the test's own, and the same in other words."""

    def __init__(self) -> None:
        self.thing = "".join(letter for letter in uuid.uuid4().hex if letter.isalpha())[:6] or "thing"

    @property
    def asked(self) -> str:
        return f"How do I reset my {self.thing} password?"

    @property
    def again(self) -> str:
        return f"How can I reset the {self.thing} password?"

    @property
    def other(self) -> str:
        return f"How do I reset my {self.thing} username?"


@pytest.fixture
def questions() -> Questions:
    return Questions()


@pytest.fixture
def semantic(gateway: RunningGateway, primary: ModelServer) -> RunningGateway:
    gateway.route(primary, cache=RULE)
    return gateway


def is_kept(broker: redis.Redis, question: str) -> bool:
    """Whether an entry of the question can be found by meaning."""
    names = cast(list[bytes], broker.keys("spanledger:cache:shop:*"))  # pyright: ignore[reportUnknownMemberType]
    heads = [cast(bytes, broker.get(name) or b"{}").partition(b"\n")[0] for name in names]
    return any(head.get("question") == question and "vector" in head for head in map(json.loads, heads))


def learned(gateway: RunningGateway, broker: redis.Redis, question: str, **more: Any) -> Answered:
    """Ask, and wait until the answer can be found by meaning."""
    answer = gateway.chat(question, **more)
    until(lambda: is_kept(broker, question), "nothing was kept")
    return answer


def state(answer: Answered) -> str:
    return answer.headers[semconv.HEADER_CACHE]


def test_a_closed_tier_asks_upstream_and_records_what_it_would_have_served(
    semantic: RunningGateway, broker: redis.Redis, questions: Questions, primary: ModelServer
) -> None:
    first = learned(semantic, broker, questions.asked)
    second = semantic.chat(questions.again)
    assert (state(first), state(second)) == ("miss", "miss")
    assert len(primary.calls) == 2
    request, _ = semantic.spans(second, 2)
    paid = semantic.spans(first, 2)[1]
    assert request[semconv.CACHE_CANDIDATE_SIMILARITY] > 0.85
    assert request[semconv.CACHE_CANDIDATE_TRACE] == first.headers["x-spanledger-trace-id"]
    assert request[semconv.CACHE_CANDIDATE_SPAN] == paid.span_id
    assert request[semconv.CACHE_GROUP] == group("shop", MODEL, "minilm-int8")
    assert broker.exists(f"spanledger:cache:shop:{request[semconv.CACHE_CANDIDATE]}")


def test_an_open_tier_answers_other_words_and_names_entry_age_and_similarity(
    semantic: RunningGateway, broker: redis.Redis, questions: Questions, primary: ModelServer
) -> None:
    first = learned(semantic, broker, questions.asked)
    certify(semantic, broker)
    hit = semantic.chat(questions.again)
    assert state(hit) == "semantic"
    assert hit.body == first.body
    assert hit.headers["x-spanledger-cost"] == "0"
    assert len(primary.calls) == 1
    (span,) = semantic.spans(hit, 1)
    assert span[semconv.CACHE] == "semantic"
    assert span[semconv.CACHE_ENTRY] == hit.headers[semconv.HEADER_CACHE_ENTRY]
    assert 0.85 <= span[semconv.CACHE_SIMILARITY] < 1
    assert span[semconv.CACHE_AGE_NS] > 0
    assert span[semconv.BILLABLE] is True
    assert span[semconv.CACHE_CANDIDATE_TRACE] == first.headers["x-spanledger-trace-id"]


def test_guards_and_the_threshold_keep_lookalikes_apart(
    semantic: RunningGateway, broker: redis.Redis, questions: Questions
) -> None:
    learned(semantic, broker, questions.asked)
    certify(semantic, broker)
    refused = metric(semantic, 'spanledger_cache_guard_refusals_total{guard="wording"}')
    assert state(semantic.chat(questions.other)) == "miss"
    assert metric(semantic, 'spanledger_cache_guard_refusals_total{guard="wording"}') == refused + 1
    certify(semantic, broker, threshold="0.999")
    assert state(semantic.chat(f"What is the way to reset the {questions.thing} password?")) == "miss"


@pytest.mark.parametrize("change", [{"state": "closed"}, {"group": "of other guards"}], ids=str)
def test_a_certificate_that_is_withdrawn_or_of_another_group_serves_nothing(
    semantic: RunningGateway, broker: redis.Redis, questions: Questions, change: dict[str, str]
) -> None:
    learned(semantic, broker, questions.asked)
    certify(semantic, broker)
    assert state(semantic.chat(questions.again)) == "semantic"
    certify(semantic, broker, **change)
    assert state(semantic.chat(f"How could I reset my {questions.thing} password?")) == "miss"


def test_nothing_crosses_a_system_prompt(
    semantic: RunningGateway, broker: redis.Redis, questions: Questions
) -> None:
    def body(text: str, system: str) -> dict[str, Any]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        return {"model": MODEL, "messages": messages}

    semantic.post("/v1/chat/completions", body(questions.asked, "You are a bank."))
    until(lambda: is_kept(broker, questions.asked), "nothing was kept")
    certify(semantic, broker)
    same = semantic.post("/v1/chat/completions", body(questions.again, "You are a bank."))
    other = semantic.post("/v1/chat/completions", body(questions.again, "You are a pirate."))
    assert (state(same), state(other)) == ("semantic", "miss")


@pytest.mark.parametrize("stream", [True, False])
def test_hits_are_streams_or_bodies_with_usage_in_each_api(
    semantic: RunningGateway, broker: redis.Redis, questions: Questions, stream: bool
) -> None:
    name = f"spanledger:cache-used:shop:{MODEL}"
    asks: dict[str, Callable[[str], dict[str, Any]]] = {
        "chat/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
        "responses": lambda text: {"input": text},
        "messages": lambda text: {"max_tokens": 50, "messages": [{"role": "user", "content": text}]},
    }
    usage = {"stream_options": {"include_usage": True}}
    certify(semantic, broker)
    for kept, (path, make) in enumerate(asks.items()):
        # Kept from a stream where a whole answer is asked for, and the other way round.
        first = semantic.post(f"/v1/{path}", {"model": MODEL, "stream": not stream, **make(questions.asked)})
        assert first.status == 200, first.body
        until(lambda: broker.zcard(name) > kept, f"nothing of {path} was kept")  # noqa: B023
        more = usage if stream and path == "chat/completions" else {}
        hit = semantic.post(
            f"/v1/{path}", {"model": MODEL, "stream": stream, **make(questions.again), **more}
        )
        assert state(hit) == "semantic", path
        assert b"Paris" in hit.body
        assert b'"output_tokens":2' in hit.body or b'"completion_tokens":2' in hit.body
        assert (b"data: " in hit.body) is stream


def test_personal_questions_and_those_of_a_caller_who_asked_not_to_are_not_kept(
    semantic: RunningGateway, broker: redis.Redis, questions: Questions
) -> None:
    semantic.chat(f"Is {questions.thing}@example.com a member?")
    semantic.chat(questions.asked, headers={"cache-control": "no-store"})
    semantic.chat(questions.asked, headers={"x-spanledger-cache": "off"})
    kept = [broker.get(key) for key in cast(list[bytes], broker.keys("spanledger:cache:shop:*"))]  # pyright: ignore[reportUnknownMemberType]
    heads = [entry.partition(b"\n")[0] for entry in cast(list[bytes], kept)]
    assert [head for head in heads if questions.thing.encode() in head] == []
    assert metric(semantic, 'spanledger_cache_not_kept_total{reason="personal"}') >= 1


def test_the_share_that_is_audited_is_asked_again_and_linked_to_its_hit(
    gateway: RunningGateway, broker: redis.Redis, questions: Questions, primary: ModelServer
) -> None:
    gateway.route(primary, cache=CacheRule(semantic=SemanticRule(audit_share=1.0)))
    learned(gateway, broker, questions.asked)
    certify(gateway, broker)
    hit = gateway.chat(questions.again)
    assert state(hit) == "semantic"
    request, check = gateway.spans(hit, 2)
    assert check[semconv.PURPOSE] == "cache_check"
    assert check[semconv.BILLABLE] is True
    assert check[semconv.CACHE_AUDIT_OF_TRACE] == hit.headers["x-spanledger-trace-id"]
    assert check[semconv.CACHE_AUDIT_OF_SPAN] == request.span_id
    assert json.loads(check[semconv.OUTPUT_MESSAGES])[0]["parts"][0]["content"] == "Paris."
    assert len(primary.calls) == 2


def test_the_size_is_kept_and_what_goes_first_is_what_was_used_last_longest_ago(
    gateway: RunningGateway, broker: redis.Redis, primary: ModelServer
) -> None:
    gateway.route(primary, cache=CacheRule(semantic=SemanticRule(max_entries=2)))
    name = f"spanledger:cache-used:shop:{MODEL}"
    for number, thing in enumerate(("visa", "parking permit", "library card")):
        gateway.chat(f"Where do I apply for a {thing}?")
        until(lambda: broker.zcard(name) == min(number + 1, 2), "the size is not kept")  # noqa: B023
    until(lambda: len(cast(list[bytes], broker.keys("spanledger:cache:shop:*"))) == 2, "bodies stay behind")  # pyright: ignore[reportUnknownMemberType]


def test_a_dropped_entry_is_gone_everywhere_at_once(
    semantic: RunningGateway, broker: redis.Redis, questions: Questions
) -> None:
    learned(semantic, broker, questions.asked)
    certify(semantic, broker)
    hit = semantic.chat(questions.again)
    entry = hit.headers[semconv.HEADER_CACHE_ENTRY]
    broker.delete(f"spanledger:cache:shop:{entry}")
    broker.xadd("spanledger:cache-log", {"op": "drop", "project": "shop", "entry": entry, "reason": "wrong"})
    announce(broker)
    dropped = 'spanledger_cache_evictions_total{reason="wrong"}'
    until(lambda: metric(semantic, dropped) >= 1, "the drop was not seen")
    assert state(semantic.chat(questions.asked)) == "miss"


def test_gateways_share_entries_and_a_new_one_reads_them_all(
    semantic: RunningGateway,
    broker: redis.Redis,
    questions: Questions,
    primary: ModelServer,
    redis_url: str,
    tmp_path: Path,
) -> None:
    first = learned(semantic, broker, questions.asked)
    collector = StandInCollector()
    collector.start()
    try:
        with running(tmp_path, collector, redis_url) as other:
            other.route(primary, cache=RULE)
            certify(other, broker)
            until(lambda: metric(other, "spanledger_cache_entries{") >= 1, "old entries were not read")
            assert other.chat(questions.again).body == first.body
            later = Questions()
            learned(semantic, broker, later.asked)
            until(lambda: metric(other, "spanledger_cache_entries{") >= 2, "a new entry was not seen")
            assert state(other.chat(later.again)) == "semantic"
    finally:
        collector.stop()


def test_a_route_with_another_model_starts_with_an_empty_cache(
    semantic: RunningGateway,
    broker: redis.Redis,
    questions: Questions,
    primary: ModelServer,
    backup: ModelServer,
) -> None:
    learned(semantic, broker, questions.asked)
    semantic.route(primary, backup, cache=RULE)
    certify(semantic, broker)
    assert state(semantic.chat(questions.asked)) == "miss"


def test_an_upstream_may_embed_and_its_calls_are_recorded_and_billed(
    gateway: RunningGateway, broker: redis.Redis, questions: Questions, primary: ModelServer
) -> None:
    rule = SemanticRule(embedder="up0/text-embedding-3-small")
    gateway.route(primary, cache=CacheRule(semantic=rule))
    answer = learned(gateway, broker, questions.asked)
    spans = gateway.spans(answer, 3)
    (embedded,) = [span for span in spans if span.get(semconv.PURPOSE) == "cache_embed"]
    assert embedded[semconv.OPERATION] == "embeddings"
    assert embedded[semconv.REQUEST_MODEL] == "text-embedding-3-small"
    assert embedded[semconv.BILLABLE] is True
    assert embedded[semconv.INPUT_TOKENS] > 0
    assert [call.path for call in primary.calls].count("/v1/embeddings") == 1
