"""A semantic tier through the whole product: closed, checked, open, hit, caught being wrong, closed; each step an event.

And one that calls made before it open.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from spanledger.testing.model_server import ModelServer
from tests.e2e.stack import Stack, until

pytestmark = pytest.mark.e2e

ROUTE = "meaning"
RIGHT = "The harbour ferry takes 12 minutes."
WRONG = "Ferries ended last summer, take the bridge instead."
ENTRY = "SELECT state, message FROM events FINAL WHERE kind = 'cache' AND subject = {route:String} ORDER BY events.time"
CHECKS = """
    SELECT countIf(value = 1) AS right, countIf(value = 0) AS wrong FROM scores FINAL
    WHERE name = 'cache_hit_correct' AND route = {route:String}
"""
SEMANTIC = (
    "SELECT count() AS n FROM spans WHERE cache = 'semantic' AND route = {route:String} AND cost_total = 0"
)


def wordings() -> Iterator[str]:
    """The same question, each time written a little differently: no two requests are the same, all mean the same."""
    for number in itertools.count(1):
        yield f"How long does{' ' * number}the harbour ferry take?"


class Asker:
    """An unmodified client that asks the same in other words."""

    def __init__(self, stack: Stack, route: str = ROUTE) -> None:
        self._route = route
        self._client = stack.openai()
        self._wordings = wordings()

    def ask(self) -> str:
        """One question; how the cache answered."""
        create: Any = self._client.chat.completions.with_raw_response.create
        answer = create(model=self._route, messages=[{"role": "user", "content": next(self._wordings)}])
        return str(answer.headers["x-spanledger-cache"])

    def ask_until(self, wanted: str, most: int, what: str) -> None:
        """Ask, with pauses only where one waits for workers, until the cache answers so."""
        seen: list[str] = []

        def answered() -> bool:
            seen.append(self.ask())
            assert len(seen) <= most, f"{what}: {seen}"
            return seen[-1] == wanted

        until(answered, 120, what)


def test_a_tier_opens_by_checks_serves_hits_and_closes_on_wrong_ones(
    stack: Stack, primary: ModelServer
) -> None:
    semantic = {"max_wrong_hits": 0.3, "audit_share": 1.0}
    stack.apply(
        ("upstream", "meaning-1", {"base_url": primary.base_url, "allow_private": True}),
        (
            "route",
            ROUTE,
            {
                "targets": [{"upstream": "meaning-1", "model": "gpt-4o-mini"}],
                "cache": {"ttl_s": 600, "semantic": semantic},
            },
        ),
    )
    primary.set(answer=RIGHT)
    asker = Asker(stack)
    first = [asker.ask() for _ in range(30)]
    assert set(first) == {"miss"}  # nothing is served while nothing is certified
    until(lambda: stack.rows(CHECKS, route=ROUTE)[0]["right"] >= 20, 90, "would-be hits being checked")
    stack.rows_until(1, ENTRY, 60, route=ROUTE)
    asker.ask_until("semantic", 1000, "the open tier")
    stack.rows_until(1, f"{SEMANTIC} HAVING n > 0", 60, route=ROUTE)

    primary.set(answer=WRONG)
    asker.ask_until("miss", 2000, "a pause after a wrong hit")
    until(lambda: stack.rows(CHECKS, route=ROUTE)[0]["wrong"] >= 1, 60, "the audit that found it wrong")
    for _ in range(20):
        asker.ask()
    steps = {row["state"] for row in stack.rows_until(2, ENTRY, 90, route=ROUTE)}
    assert steps & {"paused", "closed"}
    until(lambda: "closed" in {row["state"] for row in stack.rows(ENTRY, route=ROUTE)}, 90, "the closing")
    assert stack.rows(ENTRY, route=ROUTE)[0]["state"] == "opened"


def test_calls_made_before_a_tier_was_switched_on_open_it(stack: Stack, primary: ModelServer) -> None:
    route = "meaning-later"
    target = {"upstream": "meaning-2", "model": "gpt-4o-mini"}
    stack.apply(
        ("upstream", "meaning-2", {"base_url": primary.base_url, "allow_private": True}),
        ("route", route, {"targets": [target], "cache": {"ttl_s": 600}}),
    )
    primary.set(answer=RIGHT)
    asker = Asker(stack, route)
    assert {asker.ask() for _ in range(30)} == {"miss"}
    answered = "SELECT count() AS n FROM spans WHERE route = {route:String} AND attempt = 1 HAVING n >= 30"
    stack.rows_until(1, answered, 60, route=route)
    semantic = {"max_wrong_hits": 0.3, "audit_share": 1.0}
    stack.apply(("route", route, {"targets": [target], "cache": {"ttl_s": 600, "semantic": semantic}}))
    assert stack.rows_until(1, ENTRY, 90, route=route)[0]["state"] == "opened"
    replay = "SELECT message FROM events FINAL WHERE kind = 'cache_replay' AND subject = {route:String}"
    (told,) = stack.rows(replay, route=route)
    assert told["message"].startswith(
        "30 calls of the last 7 days: 0 were asked before word for word, 29 in other words"
    )
    asker.ask_until("semantic", 1000, "the tier that past calls opened")
