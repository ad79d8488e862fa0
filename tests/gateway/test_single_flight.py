"""Identical requests in flight wait for one answer; a leader's failure releases the others."""

from __future__ import annotations

import http.client
import json
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from spanledger import semconv
from spanledger.serving.snapshot import CacheRule, SemanticRule
from spanledger.testing.model_server import ModelServer
from tests.gateway.collector import StandInCollector
from tests.gateway.conftest import MODEL, Answered, RunningGateway, running

pytestmark = pytest.mark.broker


def together(gateways: list[RunningGateway], question: str, **more: Any) -> list[Answered]:
    with ThreadPoolExecutor(len(gateways)) as pool:
        return [
            call.result() for call in [pool.submit(gateway.chat, question, **more) for gateway in gateways]
        ]


def states(answers: list[Answered]) -> Counter[str]:
    return Counter(answer.headers[semconv.HEADER_CACHE] for answer in answers)


@pytest.mark.parametrize(
    "cache", [CacheRule(), CacheRule(semantic=SemanticRule())], ids=["exact", "semantic"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_identical_requests_cost_one_upstream_call(
    gateway: RunningGateway, primary: ModelServer, cache: CacheRule, stream: bool
) -> None:
    primary.set(first_token_s=0.5)
    gateway.route(primary, cache=cache)
    answers = together([gateway] * 40, uuid.uuid4().hex, stream=stream)
    assert {answer.status for answer in answers} == {200}
    assert len(primary.calls) == 1
    assert states(answers) == {"miss": 1, "exact": 39}
    assert all(b"Paris" in answer.body for answer in answers)


def test_other_requests_do_not_wait(gateway: RunningGateway, primary: ModelServer) -> None:
    primary.set(first_token_s=0.3)
    gateway.route(primary, cache=CacheRule())
    question = uuid.uuid4().hex
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(gateway.chat, question, temperature=0)
        second = pool.submit(gateway.chat, question, temperature=1)
        third = pool.submit(gateway.chat, question, temperature=0, headers={"x-spanledger-cache": "off"})
        answers = [call.result() for call in (first, second, third)]
    assert [answer.headers[semconv.HEADER_CACHE] for answer in answers] == ["miss", "miss", "off"]
    assert len(primary.calls) == 3


def test_a_leader_that_fails_or_is_not_kept_releases_the_others(
    gateway: RunningGateway, primary: ModelServer
) -> None:
    primary.set(error_status=400, first_token_s=0.2)
    gateway.route(primary, cache=CacheRule())
    answers = together([gateway] * 5, uuid.uuid4().hex)
    assert {answer.status for answer in answers} == {400}
    primary.set(error_status=0, call_tool="f")
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    answers = together([gateway] * 5, uuid.uuid4().hex, tools=tools)
    assert {answer.status for answer in answers} == {200}
    assert states(answers) == {"miss": 5}


def test_gateways_wait_for_each_other(
    gateway: RunningGateway, primary: ModelServer, redis_url: str, tmp_path: Path
) -> None:
    primary.set(first_token_s=0.6)
    gateway.route(primary, cache=CacheRule())
    collector = StandInCollector()
    collector.start()
    try:
        with running(tmp_path, collector, redis_url) as other:
            other.route(primary, cache=CacheRule())
            answers = together([gateway, other] * 6, uuid.uuid4().hex)
    finally:
        collector.stop()
    assert len(primary.calls) == 1
    assert states(answers) == {"miss": 1, "exact": 11}


def test_a_caller_who_leaves_does_not_hold_up_the_others(
    gateway: RunningGateway, primary: ModelServer
) -> None:
    primary.set(first_token_s=0.5)
    gateway.route(primary, cache=CacheRule())
    question = uuid.uuid4().hex
    leaver = http.client.HTTPConnection("127.0.0.1", gateway.port)
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": question}]})
    headers = {"authorization": "Bearer sl_test_0123456789abcdef", "content-type": "application/json"}
    leaver.request("POST", "/v1/chat/completions", body, headers)
    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(gateway.chat, question)
        leaver.close()
        assert follower.result(20).status == 200
