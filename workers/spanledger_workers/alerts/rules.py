"""Alert documents: a metric, a threshold and what was measured in; firing, resolved or nothing new out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Literal

from spanledger.records import Event
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.alerting import SUMS, Measured, Quiet, measure, quiet_since
from spanledger_collector.store.reads.evaluation import LastState, last_states
from spanledger_collector.store.registry.evaluation import Alert
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers.audit import event
from spanledger_workers.clock import DAY, seconds

Verdict = Literal["breached", "fine", "no data"]
_OPERATORS = {"<": lt, "<=": le, ">": gt, ">=": ge}
_NO_DATA: dict[str, Verdict] = {"keep": "no data", "alert": "breached", "resolve": "fine"}
_GONE_NS = DAY  # a group that fires and was not seen for so long is over
_SILENCES_NS = 31 * DAY  # how far back silences and acknowledgements are looked for


def breached(rule: Alert, found: Measured | None) -> Verdict:
    """Whether the threshold is passed, where there are samples enough to say."""
    value = found.value if found else 0.0
    samples = found.samples if found else 0
    # Sums speak for themselves: no calls at all is a value of 0 and no lack of data.
    if rule.metric not in SUMS and samples < rule.min_samples:
        return "no data"
    if rule.metric in SUMS and not samples:
        value = 0.0
    return "breached" if _OPERATORS[rule.op](value, rule.threshold) else "fine"


def next_state(rule: Alert, verdict: Verdict, last: LastState | None, *, quiet: bool, now: int) -> str | None:
    """The state to tell of: firing (also again), resolved, or None. ``quiet``: somebody acknowledged it."""
    firing = last is not None and last.state == "firing"
    if verdict == "no data":
        verdict = _NO_DATA[rule.no_data]
    if verdict == "breached":
        if last is None or not firing:
            return "firing"
        due = rule.renotify_s is not None and now - last.time >= seconds(rule.renotify_s)
        return "firing" if due and not quiet else None
    return "resolved" if firing and verdict == "fine" else None


def key_of(name: str, by: Sequence[str], group: Sequence[str]) -> str:
    """The dedup key of a rule's alert, or of one of its groups."""
    parts = ",".join(f"{field}={value}" for field, value in zip(by, group, strict=True))
    return f"alert:{name}:{parts}" if by else f"alert:{name}"


@dataclass(slots=True, kw_only=True)
class AlertRules:
    """Measures every rule and tells what changed: an alert fires once, is told again as asked, and resolves once."""

    store: Client

    def tick(self, rules: Sequence[tuple[str, str, Alert]], now: int) -> list[Event]:
        """Look at the rules (project, name, document); returns the events written."""
        told: list[Event] = []
        quiet = quiet_since(self.store, since=now - _SILENCES_NS) if rules else []
        for project in sorted({project for project, _, _ in rules}):
            rows = last_states(self.store, project=project, kind="alert")
            states = {row.dedup_key: row for row in rows}
            acknowledged = [one for one in quiet if one.project == project and one.state == "acknowledged"]
            for own, name, rule in rules:
                if own == project:
                    told += self._look(project, name, rule, states, acknowledged, now)
        insert_events(self.store, told)
        return told

    def _look(
        self,
        project: str,
        name: str,
        rule: Alert,
        states: Mapping[str, LastState],
        acknowledged: Sequence[Quiet],
        now: int,
    ) -> list[Event]:
        since = now - seconds(rule.window_s)
        try:
            rows = measure(
                self.store, project=project, metric=rule.metric, scope=rule.scope, by=rule.by, since=since
            )
        except ValueError as wrong:
            known = states.get(f"alert:{name}")
            if known is not None and known.state == "invalid":
                return []
            return [_event(project, name, f"alert:{name}", "invalid", str(wrong), now, "warning")]
        told: list[Event] = []
        measured = {key_of(name, rule.by, row.group): row for row in rows}
        for key in {**measured, **_gone(name, rule, states)}:
            last = states.get(key)
            # An acknowledgement ends with the alert: the next that fires is later than it.
            quiet = last is not None and any(
                one.covers(project, key) and one.time >= last.time for one in acknowledged
            )
            verdict = breached(rule, measured.get(key))
            if key not in measured and last is not None and now - last.time > _GONE_NS:
                verdict = "fine"
            state = next_state(rule, verdict, last, quiet=quiet, now=now)
            if state is not None:
                again = state == "firing" and last is not None and last.state == "firing"
                severity = "info" if state == "resolved" else rule.severity
                message = _message(rule, measured.get(key), verdict)
                told.append(_event(project, name, key, "again" if again else state, message, now, severity))
        return told


def _gone(name: str, rule: Alert, states: Mapping[str, LastState]) -> dict[str, None]:
    """Groups that fire and may have been measured no more."""
    begins = f"alert:{name}:"
    if not rule.by:
        return {}
    return {key: None for key, row in states.items() if key.startswith(begins) and row.state == "firing"}


def _message(rule: Alert, found: Measured | None, verdict: Verdict) -> str:
    samples = found.samples if found else 0
    over = f"over {samples} samples in {rule.window_s:g} s (alert when {rule.op} {rule.threshold:g})"
    if verdict == "no data":
        return f"no data: {rule.metric} has {samples} of the {rule.min_samples} samples it needs in {rule.window_s:g} s"
    return f"{rule.metric} is {found.value if found else 0:.6g} {over}"


def _event(
    project: str,
    name: str,
    key: str,
    state: str,
    message: str,
    now: int,
    severity: Literal["info", "warning", "critical"],
) -> Event:
    titles = {
        "firing": "Alert {}",
        "again": "Alert {} still fires",
        "resolved": "Alert {} is over",
        "invalid": "Alert {} cannot be measured",
    }
    group = key.removeprefix(f"alert:{name}").removeprefix(":")
    return event(
        "alert",
        project=project,
        subject=name,
        time=now,
        title=titles[state].format(f"{name} ({group})" if group else name),
        message=message,
        severity=severity,
        state="firing" if state == "again" else state,
        dedup_key=key,
    )
