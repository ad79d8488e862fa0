"""New answers are scored; a route that got bad is moved within a minute, with the reason, and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

import spanledger
from spanledger.testing.model_server import ModelServer
from tests.e2e.stack import Stack, until

pytestmark = pytest.mark.e2e
PASSAGE = "The harbour ferry crosses to Lindholm in 12 minutes and leaves every quarter of an hour from the Old Quay."
RIGHT = "The harbour ferry crosses to Lindholm in 12 minutes."
WRONG = "Helicopters reach Stockholm overnight while passengers enjoy complimentary champagne beneath golden chandeliers."
QUALITY = {"score": "groundedness", "floor": 0.6, "window_s": 10, "min_samples": 8, "cooldown_s": 2}


SWITCHES = """
    SELECT state, title, message, evidence FROM events FINAL
    WHERE kind = 'route_switch' AND subject = {route:String} ORDER BY events.time
"""
SCORES = """
    SELECT count() AS n, avg(value) AS mean FROM scores FINAL
    WHERE name = 'groundedness' AND route = {route:String} AND status = 'ok'
"""
BESIDE = """
    SELECT s.value AS value FROM scores AS s FINAL
    INNER JOIN spans AS c ON c.trace_id = s.trace_id AND c.span_id = s.span_id
    WHERE s.route = 'ferry' AND c.operation = 'chat' AND s.value IS NOT NULL
"""


class Questions(threading.Thread):
    """A RAG application that asks and asks, through an unmodified client."""

    def __init__(self, stack: Stack, route: str) -> None:
        super().__init__(daemon=True)
        self._stack, self._route = stack, route
        self.done = threading.Event()
        self.asked = 0

    def run(self) -> None:
        with self._stack.openai() as client:
            create: Any = client.chat.completions.create
            while not self.done.wait(0.1):
                with spanledger.span("retrieve", operation="retrieval") as retrieval:
                    retrieval.update(documents=[{"id": "1", "content": PASSAGE}])
                    messages = [{"role": "user", "content": f"How long does the ferry take? ({self.asked})"}]
                    headers = {"traceparent": spanledger.traceparent()}
                    create(model=self._route, messages=messages, extra_headers=headers)
                self.asked += 1


@contextmanager
def asking(stack: Stack, route: str) -> Generator[Questions]:
    spanledger.init(
        endpoint=stack.url("collector"), key=stack.key, home=str(stack.home / "loop"), service="e2e-loop"
    )
    questions = Questions(stack, route)
    questions.start()
    try:
        yield questions
    finally:
        questions.done.set()
        questions.join(10)
        spanledger.shutdown()


def test_a_route_whose_answers_get_bad_is_moved_and_returns(
    stack: Stack, primary: ModelServer, backup: ModelServer
) -> None:
    route = "ferry"
    primary.set(answer=RIGHT, wrong_answer=WRONG)
    backup.set(answer=RIGHT)
    targets = [
        {"upstream": "ferry-1", "model": "gpt-4o-mini"},
        {"upstream": "ferry-2", "model": "llama", "role": "fallback"},
    ]
    near = {"allow_private": True}
    stack.apply(
        ("upstream", "ferry-1", {"base_url": primary.base_url, **near}),
        ("upstream", "ferry-2", {"base_url": backup.base_url, "protocol": "vllm", **near}),
        ("route", route, {"targets": targets, "quality": QUALITY}),
        ("evaluator", "ferry-rag", {"scorers": ["groundedness"], "filter": {"route": route}}),
    )
    with asking(stack, route):
        until(lambda: stack.rows(SCORES, route=route)[0]["n"] >= 10, 60, "ten scores")
        assert stack.rows(SCORES, route=route)[0]["mean"] > 0.8
        assert stack.rows(SWITCHES, route=route) == []

        primary.set(quality=0.0)
        began = time.monotonic()
        moved = stack.rows_until(1, SWITCHES, 60, route=route)[0]
        print(f"moved {time.monotonic() - began:.1f} s after the answers got bad")
        assert moved["state"] == "fallback"
        assert "groundedness" in moved["message"] + moved["title"]
        before = len(backup.calls)
        until(lambda: len(backup.calls) >= before + 10, 20, "calls to the fallback")

        primary.set(quality=1.0)
        began = time.monotonic()
        switches = stack.rows_until(2, SWITCHES, 120, route=route)
        print(f"returned {time.monotonic() - began:.1f} s after the answers got good")
    assert [event["state"] for event in switches][:2] == ["fallback", "primary"]
    assert len(stack.rows_until(10, BESIDE)) >= 10, "scores do not join to the calls they are about"
