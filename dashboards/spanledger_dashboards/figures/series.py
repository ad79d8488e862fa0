"""Buckets in; lines, bars and bands over time out. A point's ``customdata`` is the address it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .frame import Figure, Trace, Unit, faded, figure, moments


@dataclass(frozen=True, slots=True)
class Line:
    """One named series; ``band`` gives the lower and upper end of its interval."""

    name: str
    values: Sequence[float | None]
    colour: str
    band: tuple[Sequence[float | None], Sequence[float | None]] | None = None
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """An event on a time chart."""

    seconds: float
    text: str
    colour: str


def lines(
    buckets: Sequence[int],
    series: Sequence[Line],
    unit: Unit,
    *,
    links: Sequence[str] = (),
    marks: Sequence[Mark] = (),
    height: int = 220,
    y_range: tuple[float, float] | None = None,
) -> Figure:
    """Lines with gaps where nothing is known, with their intervals as bands below them."""
    times = moments(buckets)
    traces: list[Trace] = []
    for line in series:
        traces += _band(times, line, unit)
        few = sum(value is not None for value in line.values) <= 30
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers" if few else "lines", "name": line.name, "x": times,
                "y": _scaled(line.values, unit), "customdata": list(links) or None,
                "line": {"color": line.colour, "width": 2, "dash": "dot" if line.dashed else "solid"},
                "marker": {"size": 5}, "hovertemplate": unit.hover_text(),
            }
        )  # fmt: skip
    axis: dict[str, object] = {} if y_range is None else {"range": list(y_range), "rangemode": "normal"}
    return figure(traces, unit, height=height, yaxis=axis, **_marks(marks))


def stacked(
    buckets: Sequence[int],
    series: Mapping[str, Sequence[float]],
    colours: Mapping[str, str],
    unit: Unit,
    *,
    links: Mapping[str, Sequence[str]] | None = None,
    marks: Sequence[Mark] = (),
    height: int = 220,
) -> Figure:
    """Bars stacked by name, in the order given (bottom first)."""
    times = moments(buckets)
    traces: list[Trace] = [
        {
            "type": "bar", "name": name, "x": times, "y": _scaled(values, unit), "customdata": list((links or {}).get(name, [])) or None,
            "marker": {"color": colours[name], "line": {"width": 0}}, "hovertemplate": unit.hover_text(),
        }
        for name, values in series.items()
    ]  # fmt: skip
    return figure(traces, unit, height=height, barmode="stack", **_marks(marks))


def _scaled(values: Sequence[float | None], unit: Unit) -> list[float | None]:
    return [None if value is None else float(f"{value / unit.scale:.6g}") for value in values]


def _band(times: Sequence[str], line: Line, unit: Unit) -> list[Trace]:
    """One polygon for each unbroken run of intervals."""
    if line.band is None:
        return []
    xs: list[str | None] = []
    ys: list[float | None] = []
    low, high = (_scaled(end, unit) for end in line.band)
    for run in _runs([a is not None and b is not None for a, b in zip(low, high, strict=True)]):
        there, back = list(run), list(reversed(run))
        xs += [*(times[place] for place in there), *(times[place] for place in back), None]
        ys += [*(high[place] for place in there), *(low[place] for place in back), None]
    return [
        {
            "type": "scatter", "mode": "lines", "name": line.name, "x": xs, "y": ys, "line": {"width": 0},
            "fill": "toself", "fillcolor": faded(line.colour, 0.18), "hoverinfo": "skip", "showlegend": False,
        }
    ]  # fmt: skip


def _runs(known: Sequence[bool]) -> list[range]:
    """Stretches of consecutive places where something is known."""
    runs: list[range] = []
    for place, here in enumerate(known):
        if here and runs and runs[-1].stop == place:
            runs[-1] = range(runs[-1].start, place + 1)
        elif here:
            runs.append(range(place, place + 1))
    return runs


def _marks(marks: Sequence[Mark]) -> dict[str, object]:
    """Dotted verticals with a label that shows on hover."""
    if not marks:
        return {}
    at = moments([int(mark.seconds) for mark in marks])
    shapes = [
        {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1,
         "line": {"color": mark.colour, "width": 1.5, "dash": "dot"}}
        for x, mark in zip(at, marks, strict=True)
    ]  # fmt: skip
    notes = [
        {"xref": "x", "yref": "paper", "x": x, "y": 1, "text": "◆", "showarrow": False, "yanchor": "bottom",
         "yshift": -7, "hovertext": mark.text, "font": {"color": mark.colour, "size": 11}, "captureevents": True}
        for x, mark in zip(at, marks, strict=True)
    ]  # fmt: skip
    return {"shapes": shapes, "annotations": notes}
