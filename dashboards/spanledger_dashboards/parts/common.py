"""Pieces that several pages show the same way: event marks, severities, score charts, names with their colour."""

from __future__ import annotations

from collections.abc import Sequence

from dash.development.base_component import Component

from spanledger_collector.store.reads.events import EventRow
from spanledger_collector.store.reads.overview import ScorePoint
from spanledger_dashboards.colours import GREEN, GREY, RED, SEVERITY, VIOLET
from spanledger_dashboards.figures.frame import SCORE, Figure
from spanledger_dashboards.figures.series import Line, Mark, lines
from spanledger_dashboards.intervals import interval
from spanledger_dashboards.parts.basic import badge
from spanledger_dashboards.text import line
from spanledger_dashboards.view import View

_MARKED = ("alert", "route_switch", "budget_step")


def event_marks(events: Sequence[EventRow], limit: int = 24) -> list[Mark]:
    """Alerts, switches and budget steps as marks; the rest stays in the timeline."""
    shown = [event for event in events if event.kind in _MARKED][:limit]
    return [Mark(event.time / 1e9, line(event.title, 120), _mark_colour(event)) for event in shown]


def _mark_colour(event: EventRow) -> str:
    if event.kind == "route_switch":
        return GREEN if event.state == "primary" else VIOLET
    if event.state == "resolved":
        return GREEN
    return {"critical": RED}.get(event.severity, SEVERITY.get(event.severity, GREY))


def severity(name: str) -> Component:
    """An event's severity as a badge."""
    return badge(name, {"critical": "red", "warning": "amber"}.get(name, "blue"))


_STATES = {
    "firing": "red",
    "resolved": "green",
    "fallback": "violet",
    "primary": "green",
    "previous_prompt": "violet",
}


def state(name: str) -> Component | str:
    """An event's state as a badge; nothing where it has none."""
    return badge(name, _STATES.get(name, "grey")) if name else ""


def score_figure(
    view: View,
    name: str,
    points: Sequence[ScorePoint],
    buckets: Sequence[int],
    marks: Sequence[Mark],
    colour: str = VIOLET,
) -> Figure:
    """One score's mean over time with its interval as a band; scores within 0 and 1 share that axis."""
    by_bucket = {point.bucket: point for point in points}
    means = [by_bucket[at].mean if at in by_bucket else None for at in buckets]
    ends = [_ends(by_bucket.get(at)) for at in buckets]
    low, high = [end[0] if end else None for end in ends], [end[1] if end else None for end in ends]
    known = [mean for mean in means if mean is not None]
    unit_range = (0.0, 1.02) if known and min(known) >= 0 and max(known) <= 1 else None
    if unit_range:
        low = [None if end is None else max(0.0, end) for end in low]
        high = [None if end is None else min(1.0, end) for end in high]
    step = buckets[1] - buckets[0] if len(buckets) > 1 else view.window.length // 1_000_000_000
    links = [view.zoomed("/scores", at, step, score=name) for at in buckets]
    return lines(
        buckets,
        [Line(name, means, colour, band=(low, high))],
        SCORE,
        links=links,
        marks=marks,
        height=180,
        y_range=unit_range,
    )


def _ends(point: ScorePoint | None) -> tuple[float, float] | None:
    return None if point is None else interval(point.mean, point.deviation, point.n, binary=point.binary)


def by_name(points: Sequence[ScorePoint], limit: int) -> dict[str, list[ScorePoint]]:
    """Points of the scores with most verdicts, at most ``limit`` of them, in order of name."""
    groups: dict[str, list[ScorePoint]] = {}
    for point in points:
        groups.setdefault(point.name, []).append(point)
    busiest = sorted(groups, key=lambda name: -sum(point.n for point in groups[name]))[:limit]
    return {name: groups[name] for name in sorted(busiest)}
