"""Alert documents: a metric, a threshold and what was measured in; firing, resolved or nothing new out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt

from spanledger.records import Event
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.alerting import Traffic, score_mean, traffic
from spanledger_collector.store.reads.evaluation import last_states
from spanledger_collector.store.registry.evaluation import Alert
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers.audit import event
from spanledger_workers.clock import seconds

SCORE = "score:"
METRICS = ("calls", "cost_usd", "error_rate", "unpriced", "latency_p95_s", "ttft_p95_s", "cache_hit_rate")
_OPERATORS = {"<": lt, "<=": le, ">": gt, ">=": ge}


class UnknownMetric(ValueError):
    """No metric has this name."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's value over ``samples`` calls or scores."""

    value: float
    samples: int


def read_metric(name: str, seen: Traffic) -> Measurement:
    """One metric of the traffic. Raises UnknownMetric."""
    share = 1 / seen.calls if seen.calls else math.nan
    values = {
        "calls": (seen.calls, seen.calls),
        "cost_usd": (seen.cost_usd, seen.calls),
        "error_rate": (seen.errors * share, seen.calls),
        "unpriced": (seen.unpriced, seen.calls),
        "latency_p95_s": (seen.latency_p95_s, seen.calls),
        "ttft_p95_s": (seen.ttft_p95_s, seen.streamed),
        "cache_hit_rate": (seen.cache_hits * share, seen.calls),
    }
    if name not in values:
        raise UnknownMetric(f"there is no metric {name!r}; known: {', '.join(METRICS)}, {SCORE}<name>")
    return Measurement(float(values[name][0]), values[name][1])


def breached(rule: Alert, found: Measurement) -> bool | None:
    """Whether the threshold is passed; None where there are too few samples to say."""
    # Sums speak for themselves: no calls at all is a value of 0 and no lack of data.
    if rule.metric not in ("calls", "cost_usd", "unpriced") and found.samples < rule.min_samples:
        return None
    return _OPERATORS[rule.op](found.value, rule.threshold)


@dataclass(slots=True, kw_only=True)
class AlertRules:
    """Measures every rule and tells what changed: an alert fires once and resolves once."""

    store: Client

    def tick(self, rules: Sequence[tuple[str, str, Alert]], now: int) -> list[Event]:
        """Look at the rules (project, name, document); returns the events written."""
        told: list[Event] = []
        for project in sorted({project for project, _, _ in rules}):
            states = {
                row.dedup_key: row.state for row in last_states(self.store, project=project, kind="alert")
            }
            for own, name, rule in rules:
                if own == project:
                    told += self._look(project, name, rule, states.get(f"alert:{name}", ""), now)
        insert_events(self.store, told)
        return told

    def _look(self, project: str, name: str, rule: Alert, state: str, now: int) -> list[Event]:
        try:
            found = self._measure(project, rule, now)
        except ValueError as wrong:
            return [] if state == "invalid" else [_event(project, name, "invalid", str(wrong), now)]
        passed = breached(rule, found)
        if passed is None or passed == (state == "firing"):
            return []
        message = f"{rule.metric} is {found.value:.6g} over {found.samples} samples in {rule.window_s:g} s"
        message += f" (alert when {rule.op} {rule.threshold:g})"
        return [_event(project, name, "firing" if passed else "resolved", message, now)]

    def _measure(self, project: str, rule: Alert, now: int) -> Measurement:
        since = now - seconds(rule.window_s)
        if rule.metric.startswith(SCORE):
            name = rule.metric.removeprefix(SCORE)
            count, mean = score_mean(self.store, project=project, name=name, scope=rule.scope, since=since)
            return Measurement(mean, count)
        return read_metric(rule.metric, traffic(self.store, project=project, scope=rule.scope, since=since))


def _event(project: str, name: str, state: str, message: str, now: int) -> Event:
    titles = {"firing": "Alert {}", "resolved": "Alert {} is over", "invalid": "Alert {} cannot be measured"}
    return event(
        "alert",
        project=project,
        subject=name,
        time=now,
        title=titles[state].format(name),
        message=message,
        severity="info" if state == "resolved" else "warning",
        state=state,
        dedup_key=f"alert:{name}",
    )
