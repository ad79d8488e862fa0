"""The certificates on ``/metrics``: the same figures as on the Cache page."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Counter, Gauge

from spanledger.records import Score

from .state import TierState

_FIGURES = {
    "bound": "Greatest share of wrong semantic hits that is not excluded with 95 % confidence.",
    "allowed": "Share of semantic hits that may be wrong.",
    "threshold": "Cosine from which hits are served; 1 while closed.",
    "checks": "Checks in the certificate's window.",
    "wrong": "Of them, judged wrong.",
    "needed": "Checks without an error until the tier opens; 0 when open.",
    "unjudged": "Checks without a verdict.",
    "audit_share": "Share of hits that has to be asked again now.",
}
_GAUGES = {
    name: Gauge(
        f"spanledger_cache_certificate_{name}", about, ["project", "route"], multiprocess_mode="mostrecent"
    )
    for name, about in _FIGURES.items()
}
_OPEN = Gauge(
    "spanledger_cache_certificate_open",
    "1 while semantic hits may be served.",
    ["project", "route"],
    multiprocess_mode="mostrecent",
)


_CHECKED = Counter(
    "spanledger_cache_checked",
    "Hits and would-be hits that were checked, by verdict: right, wrong, or why there is none.",
    ["project", "route", "verdict"],
)
_COST = Counter(
    "spanledger_cache_check_cost_usd", "What judging them cost, as far as it is priced.", ["project", "route"]
)
_UNPRICED = Counter(
    "spanledger_cache_check_unpriced", "Judged checks whose cost is unknown.", ["project", "route"]
)


def checked(scores: Sequence[Score]) -> None:
    """Count verdicts and what they cost."""
    for score in scores:
        verdict = score.status if score.value is None else "right" if score.value >= 0.5 else "wrong"
        _CHECKED.labels(score.project, score.route, verdict).inc()
        if score.cost is not None:
            _COST.labels(score.project, score.route).inc(float(score.cost))
        elif score.judge_id:
            _UNPRICED.labels(score.project, score.route).inc()


def shown(project: str, route: str, state: TierState) -> None:
    """Bring the gauges of one tier up to date."""
    _OPEN.labels(project, route).set(state.state == "open")
    for name, gauge in _GAUGES.items():
        gauge.labels(project, route).set(getattr(state, name))
