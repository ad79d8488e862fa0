"""A wrapped client obeys the project's budgets as the gateway does, on the same counters."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anthropic
import openai
import pytest
from redis import Redis

import spanledger
from spanledger.serving.budgets import counter_key
from spanledger.serving.snapshot import (
    Budget,
    Price,
    ProjectSnapshot,
    Route,
    Snapshot,
    SnapshotKey,
    Target,
    Upstream,
)
from spanledger.settings import load
from spanledger.testing.capture import CapturedSpans, capture
from spanledger.testing.model_server import ModelServer
from spanledger.wrappers.registry import Feed

# Each test has a budget of its own name: a process remembers what it knew of a counter that Redis lost.
KEY = "sl-a-key-of-the-shop"
ASK: list[Any] = [{"role": "user", "content": "Name a colour."}]
TEN = " ".join(["word"] * 10)  # ten tokens of the stand-in, a dollar each
PRICES = tuple(
    Price(name=p, version=1, provider=p, model="m", input=Decimal(0), output=Decimal(1_000_000))
    for p in ("openai", "anthropic")
)

pytestmark = pytest.mark.broker


class Registry:
    """The collector's side of the snapshot: any status, any budgets."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.asked = 0
        self.budgets: dict[str, Budget] = {}
        self.routes: dict[str, Route] = {}
        self.upstreams: dict[str, Upstream] = {}

    def body(self) -> bytes:
        key = SnapshotKey(id="k1", hash=hashlib.sha256(KEY.encode()).hexdigest(), project="shop", team="web")
        project = ProjectSnapshot(
            budgets=self.budgets, prices=PRICES, routes=self.routes, upstreams=self.upstreams
        )
        return Snapshot(version=repr(self.budgets), keys=(key,), projects={"shop": project}).to_json()


@pytest.fixture
def registry() -> Iterator[Registry]:
    state = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/api/registry/snapshot"
            assert self.headers["authorization"] == f"Bearer {KEY}"
            state.asked += 1
            body = state.body() if state.status == 200 else b"{}"
            self.send_response(state.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("SPANLEDGER_REDIS_URL", redis_url)
    with Redis.from_url(redis_url, decode_responses=True) as client:  # pyright: ignore[reportUnknownMemberType]
        yield client


@pytest.fixture
def spans(registry: Registry) -> Iterator[CapturedSpans]:
    with capture(endpoint=registry.url, key=KEY, project="other-than-the-keys") as captured:
        yield captured


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer(answer=TEN) as running:
        yield running


@pytest.fixture
def second() -> Iterator[ModelServer]:
    with ModelServer(answer=TEN) as running:
        yield running


@contextmanager
def client_of(server: ModelServer) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="any", timeout=5, max_retries=0) as client:
        yield client


def call(client: openai.OpenAI, **more: Any) -> Any:
    create: Any = client.chat.completions.create
    return create(**{"model": "m", "messages": ASK, "max_tokens": 10, **more})


def counter_comes_to(redis: Any, budget: str, dollars: int) -> bool:
    """Whether so much is spent and nothing reserved, soon."""
    key = counter_key("shop", budget, "month", datetime.now(UTC))
    wanted = [str(dollars * 10**9), "0"]
    return eventually(lambda: redis.hmget(key, "spent", "reserved") == wanted, lambda: redis.hgetall(key))


def eventually(holds: Callable[[], bool], found: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + 5
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(found())
        time.sleep(0.01)
    return True


def test_a_used_up_budget_raises_the_clients_own_error_that_names_it_and_its_reset(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer
) -> None:
    registry.budgets = {"monthly": Budget(amount=Decimal(25))}
    with client_of(model) as plain:
        client = spanledger.wrap(plain, route="qa")
        call(client)
        call(client)
        with pytest.raises(openai.RateLimitError, match="budget 'monthly'") as refused:
            call(client.with_options(max_retries=2))
    body: Any = refused.value.body
    assert body["code"] == "budget_exceeded"
    assert body["budget"] == "monthly"
    assert body["resets_at"].endswith("-01T00:00:00Z")
    assert body["resets_at"] in str(refused.value)
    assert int(refused.value.response.headers["retry-after"]) > 0
    assert counter_comes_to(redis, "monthly", 20)
    assert len(model.calls) == 2
    assert [span.status for span in spans] == ["ok", "ok", "error"]
    assert "spanledger.upstream" not in spans[2].attributes


@pytest.mark.parametrize("limits", [{"max_tokens": 10}, {"max_tokens": 4000}], ids=str)
def test_concurrent_threads_use_a_budget_up_exactly(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer, limits: dict[str, Any]
) -> None:
    registry.budgets = {f"seven-{limits}": Budget(amount=Decimal(70))}
    model.set(latency_s=0.01)

    def one(client: openai.OpenAI) -> bool:
        try:
            call(client, **limits)
        except openai.RateLimitError:
            return False
        return True

    with client_of(model) as plain, ThreadPoolExecutor(16) as pool:
        client = spanledger.wrap(plain, route="qa")
        admitted = sum(pool.map(one, [client] * 24))
    assert admitted == len(model.calls) == 7
    assert counter_comes_to(redis, f"seven-{limits}", 70)


@pytest.mark.anyio
async def test_concurrent_tasks_use_a_budget_up_exactly(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer
) -> None:
    registry.budgets = {"five": Budget(amount=Decimal(50))}
    async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any", max_retries=0) as plain:
        client = spanledger.wrap(plain, budgets=True)

        async def one() -> Any:
            return await client.chat.completions.create(model="m", messages=ASK, max_tokens=10)

        ended = await asyncio.gather(*(one() for _ in range(16)), return_exceptions=True)
    refused = [end for end in ended if isinstance(end, BaseException)]
    assert {type(end) for end in refused} == {openai.RateLimitError}
    assert len(ended) - len(refused) == len(model.calls) == 5
    assert counter_comes_to(redis, "five", 50)


def test_a_failed_call_gives_its_booking_back(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer
) -> None:
    registry.budgets = {"budget-1": Budget(amount=Decimal(15))}
    with client_of(model) as plain:
        client = spanledger.wrap(plain, route="qa")
        model.set(error_status=500)
        for _ in range(3):
            with pytest.raises(openai.InternalServerError):
                call(client)
        assert counter_comes_to(redis, "budget-1", 0)
        model.set(error_status=0)
        call(client)
    assert counter_comes_to(redis, "budget-1", 10)


def test_a_fallback_is_booked_anew_and_a_failure_before_it_costs_nothing(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer, second: ModelServer
) -> None:
    registry.budgets = {"budget-2": Budget(amount=Decimal(10))}
    model.set(error_status=503)
    with client_of(model) as one, client_of(second) as two:
        client = spanledger.wrap(one, fallback=[two])
        call(client)
        with pytest.raises(openai.RateLimitError):
            call(client)
    assert (len(model.calls), len(second.calls)) == (1, 1)
    assert counter_comes_to(redis, "budget-2", 10)


def test_a_stream_is_settled_by_its_usage_and_one_left_early_by_an_estimate(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer
) -> None:
    registry.budgets = {"budget-3": Budget(amount=Decimal(1000))}
    with client_of(model) as plain:
        client = spanledger.wrap(plain, route="qa")
        list(call(client, max_tokens=300, stream=True, stream_options={"include_usage": True}))
        assert counter_comes_to(redis, "budget-3", 10)
        with call(client, max_tokens=300, stream=True) as stream:
            while not (chunk := next(stream)).choices or not chunk.choices[0].delta.content:
                pass
    key = counter_key("shop", "budget-3", "month", datetime.now(UTC))
    assert eventually(lambda: redis.hget(key, "reserved") == "0", lambda: redis.hgetall(key))
    assert 10 * 10**9 < int(redis.hget(key, "spent")) < 30 * 10**9


def test_a_kept_answer_costs_nothing_and_needs_no_budget(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer
) -> None:
    registry.budgets = {"budget-4": Budget(amount=Decimal(10))}
    with client_of(model) as plain:
        client = spanledger.wrap(plain, cache=True)
        call(client)
        call(client)
        with pytest.raises(openai.RateLimitError):
            call(client, temperature=0.5)
    assert counter_comes_to(redis, "budget-4", 10)


def test_a_budget_counts_the_calls_in_its_scope(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer
) -> None:
    registry.budgets = {
        "ann": Budget(amount=Decimal(10), scope={"user_id": "ann", "team": "web", "route": "qa"})
    }

    @spanledger.observe
    def work(client: openai.OpenAI, user: str) -> None:
        spanledger.update(user_id=user)
        call(client)

    with client_of(model) as plain:
        client = spanledger.wrap(plain, route="qa")
        work(client, "ann")
        work(client, "bob")
        with pytest.raises(openai.RateLimitError):
            work(client, "ann")
        call(spanledger.wrap(plain, route="other"), user="ann")
    assert counter_comes_to(redis, "ann", 10)


def test_anthropics_client_raises_its_own_error(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer
) -> None:
    registry.budgets = {"budget-5": Budget(amount=Decimal(10))}
    with anthropic.Anthropic(base_url=model.url, api_key="any") as plain:
        client = spanledger.wrap(plain, route="qa")
        client.messages.create(model="m", max_tokens=10, messages=ASK)
        with pytest.raises(anthropic.RateLimitError, match="budget 'budget-5'"):
            client.messages.create(model="m", max_tokens=10, messages=ASK)
    assert counter_comes_to(redis, "budget-5", 10)


def test_a_budget_that_cannot_be_checked_refuses(
    registry: Registry,
    redis: Any,
    spans: CapturedSpans,
    model: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    free_port: int,
) -> None:
    registry.budgets = {"budget-6": Budget(amount=Decimal(10), scope={"route": "qa"})}
    monkeypatch.setenv("SPANLEDGER_REDIS_URL", f"redis://127.0.0.1:{free_port}/0")
    with client_of(model) as plain:
        with pytest.raises(openai.InternalServerError, match="cannot be checked") as refused:
            call(spanledger.wrap(plain, route="qa"))
        call(spanledger.wrap(plain, route="other"))
    assert refused.value.status_code == 503
    assert len(model.calls) == 1


def test_a_key_without_the_scope_fails_with_what_to_do(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer
) -> None:
    registry.status = 403
    with client_of(model) as plain:
        with pytest.raises(PermissionError, match="a key with the scope 'gateway'"):
            call(spanledger.wrap(plain, route="qa"))
        call(spanledger.wrap(plain, route="qa", budgets=False))
    assert len(model.calls) == 1


def test_while_the_registry_was_never_reached_only_required_budgets_refuse(
    registry: Registry,
    redis: Any,
    spans: CapturedSpans,
    model: ModelServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry.status = 500
    with client_of(model) as plain, caplog.at_level(logging.WARNING, "spanledger"):
        client = spanledger.wrap(plain, route="qa")
        call(client)
        call(client)
        with pytest.raises(openai.InternalServerError, match="cannot be checked"):
            call(spanledger.wrap(plain, route="qa", budgets=True))
    told = [message for message in caplog.messages if registry.url in message]  # others' may still be asked
    assert len(told) == 1
    assert "without budgets" in told[0]


def test_a_budget_at_its_cheaper_stage_sends_calls_to_the_cheaper_route(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer, second: ModelServer
) -> None:
    registry.budgets = {
        "budget-8": Budget(
            amount=Decimal(1000), cheaper_at=0.005, cheaper_route="cheap", scope={"route": "qa"}
        )
    }
    registry.upstreams = {
        "small": Upstream(base_url=second.base_url),
        "elsewhere": Upstream(base_url="http://x"),
    }
    places = (Target(upstream="elsewhere", model="other"), Target(upstream="small", model="mini"))
    registry.routes = {"cheap": Route(targets=places)}
    with client_of(model) as plain, client_of(second) as other:
        client = spanledger.wrap(plain, fallback=[other], route="qa")
        call(client)
        assert counter_comes_to(redis, "budget-8", 10)
        call(client)
    assert ([ask.body["model"] for ask in model.calls], [ask.body["model"] for ask in second.calls]) == (
        ["m"],
        ["mini"],
    )
    assert spans[1].attributes["spanledger.route.reason"] == "budget budget-8"


def test_a_cheaper_route_that_no_client_can_ask_leaves_calls_where_they_are(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    registry.budgets = {"budget-9": Budget(amount=Decimal(1000), cheaper_at=0.0, cheaper_route="cheap")}
    registry.upstreams = {"elsewhere": Upstream(base_url="http://x")}
    registry.routes = {"cheap": Route(targets=(Target(upstream="elsewhere", model="other"),))}
    with client_of(model) as plain, caplog.at_level(logging.WARNING, "spanledger"):
        client = spanledger.wrap(plain, route="qa")
        call(client)
        call(client)
    assert len(model.calls) == 2
    assert sum("calls stay where they are" in message for message in caplog.messages) == 1


def test_after_a_restart_the_last_known_budgets_hold_while_the_collector_is_away(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry.budgets = {"kept": Budget(amount=Decimal(1))}
    settings = load({}, endpoint=registry.url, key=KEY, home=str(tmp_path))
    assert Feed(settings).get() is not None
    registry.status = 503
    with caplog.at_level(logging.WARNING, "spanledger"):
        found = Feed(settings).get()
    assert found is not None
    assert found.book is not None
    assert found.project == "shop"
    assert "are those it told 0 minutes ago" in caplog.text
    (kept,) = (tmp_path / "registry").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    registry.status = 403
    with pytest.raises(PermissionError):
        Feed(settings).get()


def test_required_budgets_need_redis() -> None:
    with openai.OpenAI(api_key="any") as plain, pytest.raises(ValueError, match="SPANLEDGER_REDIS_URL"):
        spanledger.wrap(plain, budgets=True)


def test_a_process_that_ends_at_once_has_settled(
    registry: Registry, redis: Any, spans: CapturedSpans, model: ModelServer, redis_url: str
) -> None:
    registry.budgets = {"budget-7": Budget(amount=Decimal(100))}
    program = (
        "import openai, spanledger\n"
        f"spanledger.init(endpoint={registry.url!r}, key={KEY!r}, mode='memory', exit_timeout_s=0)\n"
        f"client = spanledger.wrap(openai.OpenAI(base_url={model.base_url!r}, api_key='any'), budgets=True)\n"
        f"client.chat.completions.create(model='m', max_tokens=10, messages={ASK!r})\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert counter_comes_to(redis, "budget-7", 10)
