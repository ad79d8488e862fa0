"""Routes of the whole product whose answers get worse and better again: how many judged calls a switch takes, each way."""

from __future__ import annotations

import json
import random
import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spanledger
from spanledger.testing.model_server import ModelServer
from spanledger.testing.model_server.behaviour import Call
from tests.benchmarks.report import Figure, at_least, at_most
from tests.e2e.stack import Stack, running

PASSAGE = "The harbour ferry crosses to Lindholm in 12 minutes and leaves every quarter of an hour from the Old Quay."
INVENTED = [
    "helicopters",
    "champagne",
    "emperors",
    "volcanoes",
    "penguins",
    "glaciers",
    "wizards",
    "lanterns",
    "astronauts",
    "submarines",
    "chandeliers",
    "motorcycles",
    "dancers",
    "canyons",
    "billboards",
    "forecasts",
]
VALUES = (
    0.273,
    0.286,
    0.333,
    0.35,
    0.4,
    0.45,
    0.474,
    0.526,
    0.579,
    0.632,
    0.667,
    0.706,
    0.765,
    0.812,
    0.867,
    0.933,
    1.0,
)
"""Groundedness of an answer that begins with 4, 5, ... 20 words of the passage and goes on with invented ones."""
QUALITY = {
    "guards": [{"metric": "score:groundedness", "baseline": 0.85, "margin": 0.05}],
    "cooldown_s": 5,
    "probe_share": 0.5,
}
GOOD, BAD, BEFORE = 0.85, 0.60, 60
_SWITCHES = """
SELECT state, toUnixTimestamp64Nano(events.time) AS at FROM events FINAL
WHERE kind = 'route_switch' AND subject = {route:String} ORDER BY events.time
"""
_JUDGED = """
SELECT count() AS n, avg(value) AS mean FROM scores FINAL
WHERE route = {route:String} AND upstream = 'first' AND status = 'ok' AND toUnixTimestamp64Nano(scores.time) >= {since:Int64}
    AND toUnixTimestamp64Nano(created_at) <= {until:Int64}
"""


class Answers:
    """Answers whose groundedness falls around a mean, for each model."""

    def __init__(self) -> None:
        self.means: dict[str, float] = {}
        self._rng = random.Random(7)

    def __call__(self, call: Call) -> str:
        mean = self.means.get(call.model, GOOD)
        strength = mean * (1 - mean) / 0.2**2 - 1
        wanted = self._rng.betavariate(mean * strength, (1 - mean) * strength)
        place = min(range(len(VALUES)), key=lambda at: abs(VALUES[at] - wanted))
        words = PASSAGE.split()
        kept = place + 4
        return " ".join([*words[:kept], *INVENTED[: len(words) - kept]])


@dataclass
class Trial:
    """One route: when it got bad, left, got good and returned (ns)."""

    route: str
    bad_at: int = 0
    left_at: int = 0
    good_at: int = 0
    back_at: int = 0


class Users(threading.Thread):
    """People who ask every route, one after the other, for as long as it takes."""

    def __init__(self, stack: Stack, routes: list[str]) -> None:
        super().__init__(daemon=True)
        self._stack, self._routes, self.done = stack, routes, threading.Event()

    def run(self) -> None:
        number = 0
        with self._stack.openai() as client:
            create: Any = client.chat.completions.create
            while not self.done.wait(0.02):
                route = self._routes[number % len(self._routes)]
                with spanledger.span("retrieve", operation="retrieval") as retrieval:
                    retrieval.update(documents=[{"id": "1", "content": PASSAGE}])
                    messages = [{"role": "user", "content": f"And now? ({number})"}]
                    headers = {"traceparent": spanledger.traceparent()}
                    create(model=route, messages=messages, extra_headers=headers)
                number += 1


def degradation(folder: Path, routes: int, limit_s: float) -> list[Figure]:
    """Run ``routes`` trials at once on one product."""
    answers = Answers()
    with running(folder) as stack, ModelServer() as first, ModelServer() as second:
        first.set(answer=answers)
        second.set(answer=PASSAGE)
        trials = [Trial(f"trial-{n}") for n in range(routes)]
        near = {"allow_private": True}
        stack.apply(
            ("upstream", "first", {"base_url": first.base_url, **near}),
            ("upstream", "second", {"base_url": second.base_url, **near}),
            ("evaluator", "rag", {"scorers": ["groundedness"]}),
            *((("route", one.route, _route(one.route))) for one in trials),
        )
        spanledger.init(
            endpoint=stack.url("collector"), key=stack.key, home=str(folder / "users"), service="bench"
        )
        users = Users(stack, [one.route for one in trials])
        users.start()
        try:
            _follow(stack, trials, answers, limit_s)
        finally:
            users.done.set()
            users.join(10)
            spanledger.shutdown()
        return _figures(stack, trials)


def _route(name: str) -> dict[str, object]:
    return {
        "targets": [
            {"upstream": "first", "model": name},
            {"upstream": "second", "model": "m", "role": "fallback"},
        ],
        "quality": QUALITY,
    }


def _follow(stack: Stack, trials: list[Trial], answers: Answers, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and not all(one.back_at for one in trials):
        time.sleep(1)
        now = time.time_ns()
        for one in trials:
            switches = stack.rows(_SWITCHES, route=one.route)
            if not one.bad_at:
                if _judged(stack, one.route, 0, now)["n"] >= BEFORE:
                    answers.means[one.route], one.bad_at = BAD, now
            elif not one.left_at and switches:
                one.left_at = switches[0]["at"]
                answers.means[one.route], one.good_at = GOOD, now
            elif one.left_at and len(switches) > 1:
                one.back_at = one.back_at or switches[1]["at"]


def _judged(stack: Stack, route: str, since: int, until: int) -> dict[str, Any]:
    return stack.rows(_JUDGED, route=route, since=since, until=until)[0]


def _figures(stack: Stack, trials: list[Trial]) -> list[Figure]:
    left = [one for one in trials if one.left_at]
    back = [one for one in trials if one.back_at]
    needed = [_judged(stack, one.route, one.bad_at, one.left_at)["n"] for one in left]
    early = [one for one in left if one.left_at < one.bad_at]
    probes = [_judged(stack, one.route, one.good_at, one.back_at)["n"] for one in back]
    shown = stack.rows(
        "SELECT kind, state, evidence FROM events FINAL WHERE kind IN ('route_switch', 'alert') ORDER BY events.time"
    )
    kinds = [(row["kind"], row["state"]) for row in shown]
    explained = all(json.loads(row["evidence"])["e_value"] > 1 for row in shown)
    steps = [
        ("route_switch", "fallback"),
        ("alert", "firing"),
        ("route_switch", "primary"),
        ("alert", "resolved"),
    ]
    complete = all(kinds.count(step) >= len(back) for step in steps) and explained
    return [
        at_least("e2e .85 -> .60: routes switched", len(left), len(trials), digits=0),
        at_most("judged calls until the switch, median", statistics.median(needed or [10**6]), 100, digits=0),
        Figure("judged calls until the switch, all", str(sorted(needed))),
        at_most("switched before anything was wrong", len(early), 0, digits=0),
        at_least("back after the cause was gone", len(back), len(trials), digits=0),
        Figure("probes until the return, median", f"{statistics.median(probes or [0]):.0f}"),
        Figure("every step in the trail, with evidence", "yes" if complete else "no", "yes", complete),
    ]
