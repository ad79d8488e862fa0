"""What the loop decided in; the events that say so, with their evidence, out. Pure."""

from __future__ import annotations

from spanledger.records import Event
from spanledger_workers.audit import event
from spanledger_workers.clock import DAY

from .collecting import Watch, alert_key
from .decision import Decision
from .guards import percentile_of
from .prompts import Release


def switch(watch: Watch, decision: Decision, release: Release | None, now: int) -> Event:
    """The route moved, or its prompt did. ``dedup_key`` names the metric, for when Redis has to be rebuilt."""
    titles = {
        "fallback": f"{watch.name} now answers from its fallback",
        "primary": f"{watch.name} now answers from its primary again",
        "previous_prompt": f"{watch.name} now uses its previous prompt",
    }
    title = titles[decision.to]
    if decision.to == "previous_prompt" and release is not None and decision.held is not None:
        title += f" {decision.held.guard.prompt}@{release.before} instead of {release.version}"
    return event(
        "route_switch",
        project=watch.project,
        subject=watch.name,
        time=now,
        title=title,
        message=decision.reason,
        severity="info" if decision.to == "primary" else "warning",
        state=decision.to,
        dedup_key=decision.metric,
        evidence=evidence_of(watch, decision),
    )


def alert(watch: Watch, decision: Decision, now: int, note: str = "") -> Event:
    """People hear of it: firing, or over."""
    firing = decision.to not in ("primary", "resolved")
    return event(
        "alert",
        project=watch.project,
        subject=watch.name,
        time=now,
        title=_alert_title(watch, decision, firing),
        message=decision.reason + note,
        severity="critical" if firing else "info",
        state="firing" if firing else "resolved",
        dedup_key=alert_key(watch, decision.metric),
        evidence=evidence_of(watch, decision),
    )


def probes_used_up(watch: Watch, cap: str, now: int) -> Event:
    """Until tomorrow nobody looks whether the primary is well again."""
    key = f"probes:{watch.name}:{now // DAY}"
    return event(
        "alert",
        project=watch.project,
        subject=watch.name,
        time=now,
        title=f"Probes of {watch.name} are used up for today",
        message=f"calls to its primary cost the {cap} USD that they may; the route stays on its fallback until tomorrow",
        severity="warning",
        state="firing",
        dedup_key=key,
        identity=("probes", watch.name, now // DAY),
    )


def evidence_of(watch: Watch, decision: Decision) -> dict[str, object]:
    """The numbers behind a decision."""
    held = decision.held
    return {
        "metric": decision.metric,
        "score": held.score if held else "",
        "samples": decision.samples,
        "mean": None if decision.mean is None else round(decision.mean, 6),
        "floor": held.limit if held and held.score else None,
        "limit": held.limit if held else None,
        "learned": held.learned if held else None,
        "e_value": None if decision.e_value is None else round(decision.e_value, 3),
        "alpha": held.alpha if held else None,
        "level_of_route": watch.rule.alpha,
        "action": decision.to,
        "mode": watch.rule.mode,
    }


def _alert_title(watch: Watch, decision: Decision, firing: bool) -> str:
    found = percentile_of(decision.metric)
    if decision.held is not None and decision.held.score:
        what, bad = "Quality", "fell below its floor"
    elif found:
        what, bad = {"latency": "Latency", "ttft": "Time to first token"}[found[0]], "rose above its limit"
    else:
        what = {"error_rate": "Error rate", "cost_usd": "Cost per call"}.get(decision.metric, "Quality")
        bad = "rose above its limit"
    return f"{what} of {watch.name} {bad if firing else 'recovered'}"
