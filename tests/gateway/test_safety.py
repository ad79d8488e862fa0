"""Limits and safety: rates by key, guarded addresses, which headers pass, guards and how they fail."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spanledger import semconv
from spanledger.serving.snapshot import SnapshotKey
from spanledger.testing.model_server import ModelServer
from tests.gateway.collector import StandInCollector
from tests.gateway.conftest import KEY, RunningGateway, plan, running

pytestmark = pytest.mark.broker


def limited(gateway: RunningGateway, primary: ModelServer, **limits: Any) -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    key = SnapshotKey(id=f"limited-{primary.port}", hash=digest, project="shop", **limits)
    gateway.install(plan(primary), (key,))


def test_a_key_s_requests_are_limited(gateway: RunningGateway, primary: ModelServer) -> None:
    limited(gateway, primary, requests_per_minute=3)
    answers = [gateway.chat() for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[3].json["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20
    assert len(primary.calls) == 3


def test_a_key_s_tokens_are_limited_by_what_calls_really_used(
    gateway: RunningGateway, primary: ModelServer
) -> None:
    limited(gateway, primary, tokens_per_minute=1000)
    # Each books 990 tokens and gives nearly all of it back.
    assert [gateway.chat(max_tokens=900).status for _ in range(3)] == [200, 200, 200]
    primary.set(answer="word " * 600)
    statuses = [gateway.chat(max_tokens=700).status for _ in range(2)]
    assert statuses == [200, 429]


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9",
        "http://localhost:9",
        "http://169.254.169.254/latest",
        "http://10.0.0.1",
        "http://[::1]:9",
        "http://[::ffff:127.0.0.1]:9",
        "http://[::ffff:7f00:1]:9",
        "http://[::127.0.0.1]:9",
        "http://[64:ff9b::10.0.0.1]:9",
        "http://[2002:7f00:1::]:9",
        "http://[fe80::1%25lo]:9",
        "http://[fd00::1]:9",
        "http://[ff02::1]:9",
        "http://0.0.0.0:9",
        "http://0x7f.1:9",
        "http://0177.0.0.1:9",
        "http://127.1:9",
        "http://100.64.0.1:9",
        "http://2130706433:9",
        "ftp://example.com",
        "http://user:secret@example.com",
    ],
)
def test_an_upstream_on_a_private_address_is_not_called_unless_allowed(
    gateway: RunningGateway, primary: ModelServer, address: str
) -> None:
    gateway.route(primary, base_url=address, allow_private=False)
    answer = gateway.chat()
    assert answer.status == 502
    attempt = gateway.spans(answer, 2)[1]
    assert attempt[semconv.ERROR_TYPE] == "unusable"
    assert "secret" not in answer.body.decode()


def test_only_listed_headers_reach_the_upstream(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary, key_env="UPSTREAM_KEY")
    gateway.chat(
        headers={
            "cookie": "session=1",
            "x-forwarded-for": "1.2.3.4",
            "x-internal": "secret",
            "openai-beta": "assistants=v2",
            "openai-organization": "org-mine",
            "x-spanledger-user": "u1",
        }
    )
    allowed = {"host", "content-type", "content-length", "accept", "accept-encoding", "user-agent"}
    allowed |= {"authorization", "openai-beta"}
    assert set(primary.calls[0].headers) <= allowed
    assert primary.calls[0].headers["openai-beta"] == "assistants=v2"


def test_a_key_whose_variable_is_unset_is_told_and_not_leaked(
    gateway: RunningGateway, primary: ModelServer
) -> None:
    gateway.route(primary, key_env="NO_SUCH_VARIABLE")
    answer = gateway.chat()
    assert answer.status == 502
    assert "NO_SUCH_VARIABLE" in answer.json["error"]["message"]
    assert primary.calls == []


def test_keys_are_not_logged(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary, key_env="UPSTREAM_KEY")
    primary.set(error_status=500)
    gateway.chat()
    output = gateway.server.output()
    assert KEY not in output
    assert "sk-upstream-secret" not in output


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, _broker_url: str) -> Iterator[RunningGateway]:
    collector = StandInCollector()
    collector.start()
    hooks = "tests.gateway.guards:Words?timeout_ms=300,tests.gateway.guards:Open?timeout_ms=300&fail=open"
    environment: dict[str, Any] = {"SPANLEDGER_GATEWAY_HOOKS": hooks, "PYTHONPATH": os.getcwd()}
    home: Path = tmp_path_factory.mktemp("guarded")
    with running(home, collector, _broker_url, **environment) as gateway:
        yield gateway
    collector.stop()


def test_guards_block_change_and_fail_as_configured(guarded: RunningGateway, primary: ModelServer) -> None:
    guarded.route(primary)
    blocked = guarded.chat("a FORBIDDEN word")
    assert (blocked.status, blocked.json["error"]["code"]) == (403, "blocked_by_guard")
    assert "not allowed" in blocked.json["error"]["message"]
    words = ("SLOW", "STUBBORN", "WRONG", "SPOIL", "BREAK")
    started = time.monotonic()
    assert [guarded.chat(word).status for word in words] == [503] * len(words)
    assert time.monotonic() - started < 15
    assert primary.calls == []
    assert guarded.chat("please MASK it").status == 200
    assert primary.calls[-1].question == "masked"
    assert "*****" in guarded.chat("CENSOR it").body.decode()
    metrics = guarded.get("/metrics").body.decode()
    assert 'spanledger_gateway_hooks_total{hook="words",outcome="timeout"} 2.0' in metrics
