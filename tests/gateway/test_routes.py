"""Routes: weights, stickiness, conditions, shadows, engines' load and spill, what becomes of a left stream."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from spanledger import semconv
from spanledger.serving.snapshot import ProjectSnapshot, Route, ShadowRule, Target, Upstream
from spanledger.testing.model_server import ModelServer
from tests.gateway.conftest import KEY, MODEL, Answered, RunningGateway
from tests.gateway.test_streams import TEN

pytestmark = pytest.mark.broker


def two(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer, *targets: dict[str, Any], **route: Any
) -> None:
    """A route over both servers; each target's fields beside its upstream and model."""
    protocol = route.pop("protocol", "openai")
    spill = route.pop("spill_at_waiting", None)
    project = ProjectSnapshot(
        upstreams={
            "a": Upstream(
                base_url=primary.base_url, allow_private=True, protocol=protocol, spill_at_waiting=spill
            ),
            "b": Upstream(base_url=backup.base_url, allow_private=True, protocol=protocol),
        },
        routes={
            MODEL: Route(
                targets=tuple(
                    Target(upstream=name, model=MODEL, **fields)
                    for name, fields in zip("ab", targets or ({}, {}), strict=True)
                ),
                **route,
            )
        },
    )
    gateway.install(project)


def upstream_of(answer: Answered) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-spanledger-upstream"]


def test_traffic_splits_by_weight(gateway: RunningGateway, primary: ModelServer, backup: ModelServer) -> None:
    two(gateway, primary, backup, {"weight": 3}, {"weight": 1})
    counts = Counter(upstream_of(gateway.chat()) for _ in range(80))
    assert 40 <= counts["a"] <= 75  # six standard deviations around 60
    assert len(primary.calls) == counts["a"]


def test_a_weight_of_nothing_gets_no_call_while_the_other_works(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer
) -> None:
    two(gateway, primary, backup, {"weight": 1}, {"weight": 0})
    assert {upstream_of(gateway.chat()) for _ in range(20)} == {"a"}
    primary.set(error_status=500)
    assert upstream_of(gateway.chat()) == "b"


def test_a_sticky_user_always_gets_the_same_target(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer
) -> None:
    two(gateway, primary, backup, sticky="user")
    seen = {
        user: {upstream_of(gateway.chat(headers={"x-spanledger-user": user})) for _ in range(4)}
        for user in map(str, range(12))
    }
    assert all(len(targets) == 1 for targets in seen.values())
    assert set[str]().union(*seen.values()) == {"a", "b"}


def test_a_target_takes_only_calls_that_meet_its_conditions(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer
) -> None:
    two(gateway, primary, backup, {"when": {"feature": "faq"}}, {"role": "fallback"})
    assert upstream_of(gateway.chat(headers={"x-spanledger-feature": "faq"})) == "a"
    assert upstream_of(gateway.chat()) == "b"
    two(gateway, primary, backup, {"when": {"stream": "true"}}, {"when": {"stream": "true"}})
    answer = gateway.chat()
    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_failed")


def test_a_shadow_answers_once_more_and_nobody_sees_it(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer
) -> None:
    shadow = ShadowRule(upstream="b", model="shadow-model")
    two(gateway, primary, backup, shadow=shadow)
    gateway.change(
        routes={MODEL: replace(gateway.project.routes[MODEL], targets=(Target(upstream="a", model=MODEL),))}
    )
    for stream in (False, True):
        answer = gateway.chat(stream=stream)
        assert b"backup" not in answer.body
        spans = gateway.spans(answer, 3)
        shadowed = next(span for span in spans if span.get(semconv.PURPOSE) == "shadow")
        assert shadowed[semconv.REQUEST_MODEL] == "shadow-model"
        assert shadowed[semconv.BILLABLE] is True
        assert "backup" in shadowed[semconv.OUTPUT_MESSAGES]
    assert [call.model for call in backup.calls] == ["shadow-model"] * 2


def test_the_engine_s_state_is_recorded_with_the_call(gateway: RunningGateway, primary: ModelServer) -> None:
    primary.set(flavour="vllm")
    gateway.route(primary, protocol="vllm")
    deadline = time.monotonic() + 10
    while True:
        attempt = gateway.spans(gateway.chat(), 2)[1]
        if attempt.get(semconv.ENGINE_RUNNING) is not None:
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert attempt[semconv.ENGINE_WAITING] == 0
    assert 0 <= attempt[semconv.ENGINE_KV_USAGE] <= 1
    assert primary.calls[-1].headers["traceparent"].split("-")[2] == attempt.span_id


def test_the_least_loaded_replica_is_asked(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer
) -> None:
    with FakeMetrics(running=9) as busy, FakeMetrics(running=1) as idle:
        two(gateway, primary, backup, balance="least_loaded", protocol="vllm")
        gateway.change(
            upstreams={
                "a": replace(gateway.project.upstreams["a"], metrics_url=busy.url),
                "b": replace(gateway.project.upstreams["b"], metrics_url=idle.url),
            }
        )
        _until(lambda: upstream_of(gateway.chat()) == "b")
        busy.text, idle.text = idle.text, busy.text
        _until(lambda: upstream_of(gateway.chat()) == "a")


def test_a_long_queue_spills_to_the_fallback(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer
) -> None:
    with FakeMetrics(waiting=8) as queue:
        two(gateway, primary, backup, {}, {"role": "fallback"}, protocol="vllm", spill_at_waiting=5)
        gateway.change(
            upstreams={
                **gateway.project.upstreams,
                "a": replace(gateway.project.upstreams["a"], metrics_url=queue.url),
            }
        )
        _until(lambda: upstream_of(gateway.chat()) == "b")
        queue.text = queue.text.replace("waiting 8", "waiting 1")
        _until(lambda: upstream_of(gateway.chat()) == "a")


@pytest.mark.parametrize("policy", ["abort", "drain"])
def test_a_vendor_s_stream_is_closed_or_drained_as_the_route_says(
    gateway: RunningGateway, primary: ModelServer, policy: str
) -> None:
    gateway.route(primary)
    gateway.change(routes={MODEL: replace(gateway.project.routes[MODEL], on_disconnect=policy)})
    primary.set(answer=TEN * 5, chunk_s=0.02)
    trace = uuid.uuid4().hex
    body = json.dumps(
        {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    head += f"traceparent: 00-{trace}-b7ad6b7169203331-01\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(head.encode() + body)
        while b" four" not in connection.recv(65536):
            pass
    primary.wait_for("disconnected" if policy == "abort" else "ok")
    attempt = gateway.collector.trace(trace, lambda found: len(found) == 2)[1]
    assert attempt[semconv.STATUS] == "cancelled"
    assert (attempt.get(semconv.USAGE_ESTIMATED) is True) == (policy == "abort")
    if policy == "drain":
        assert attempt[semconv.OUTPUT_TOKENS] > 40


class FakeMetrics:
    """An engine's metrics page with the numbers of the test."""

    def __init__(self, running: int = 0, waiting: int = 0) -> None:
        self.text = f"vllm:num_requests_running {running}.0\nvllm:num_requests_waiting {waiting}.0\n"

    def __enter__(self) -> FakeMetrics:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(page.text.encode())

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
