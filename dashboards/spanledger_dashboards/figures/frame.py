"""What every chart shares: layout, axes and units. Colours of text and grid come from the style sheet, so that
one figure serves light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spanledger_dashboards.text import symbol

Figure = dict[str, Any]
Trace = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unit:
    """How an axis says its numbers: ``scale`` divides the values, ``prefix`` and ``suffix`` go around them."""

    scale: float = 1.0
    prefix: str = ""
    suffix: str = ""
    tick: str = ""
    hover: str = ",.4~g"

    def hover_text(self) -> str:
        """Plotly's format for one y value."""
        return f"{self.prefix}%{{y:{self.hover}}}{self.suffix}"


COUNT = Unit(tick="~s", hover=",.0f")
SCORE = Unit(hover=".3f")
PERCENT = Unit(suffix=" %", hover=".2f")


def time_unit(values: Sequence[float | None]) -> Unit:
    """Milliseconds or seconds or minutes for nanosecond values, by the largest."""
    top = max((value for value in values if value is not None), default=0.0)
    if top < 1e9:
        return Unit(scale=1e6, suffix=" ms", hover=",.3~g")
    return (
        Unit(scale=1e9, suffix=" s", hover=",.3~g")
        if top < 120e9
        else Unit(scale=60e9, suffix=" min", hover=",.3~g")
    )


def money_unit(values: Sequence[float | None], currency: str = "USD") -> Unit:
    """Money, with as many digits as the largest value needs."""
    top = max((value for value in values if value is not None), default=0.0)
    digits = 0 if top >= 20 else 2 if top >= 0.05 else 4 if top >= 0.0005 else 6
    return Unit(prefix=symbol(currency), tick=f",.{digits}f", hover=f",.{max(digits, 4 if top < 10 else 2)}f")


def figure(traces: Sequence[Trace], unit: Unit, *, height: int = 220, **layout: Any) -> Figure:
    """A chart over time with one y axis in ``unit``; ``layout`` adds to the shared layout."""
    named = [trace["name"] for trace in traces if trace.get("showlegend", True)]
    letters = sum(len(name) + 7 for name in named)
    legend = len(named) > 1
    shared: dict[str, Any] = {
        "height": height,
        "margin": {"l": 56, "r": 10, "t": (14 + 20 * (1 + letters // (120 if height >= 300 else 58))) if legend else 16, "b": 36, "autoexpand": False},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "inherit", "size": 11.5},
        "hovermode": "x unified",
        "hoverlabel": {"namelength": 40, "align": "left"},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom", "traceorder": "normal"},
        "dragmode": "zoom",
        "uirevision": "keep",
        "bargap": 0.12,
        "xaxis": {"type": "date", "showgrid": False, "zeroline": False, "ticks": "outside", "ticklen": 4,
                  "nticks": 7, "hoverformat": "%a %d %b %H:%M UTC",
                  "tickformatstops": [
                      {"dtickrange": [None, 60_000], "value": "%H:%M:%S\n%d %b"},
                      {"dtickrange": [60_000, 86_399_999], "value": "%H:%M\n%d %b"},
                      {"dtickrange": [86_400_000, None], "value": "%d %b\n%Y"},
                  ]},
        "yaxis": {"rangemode": "tozero", "zeroline": False, "gridwidth": 1, "nticks": 5, "fixedrange": True,
                  "tickprefix": unit.prefix, "ticksuffix": unit.suffix, "tickformat": unit.tick,
                  "separatethousands": True},
    }  # fmt: skip
    for name, value in layout.items():
        shared[name] = {**shared[name], **value} if isinstance(shared.get(name), dict) else value
    return {"data": list(traces), "layout": shared}


def moments(buckets: Sequence[int]) -> list[str]:
    """Bucket starts (Unix seconds) as plotly's dates, UTC."""
    from datetime import UTC, datetime

    return [datetime.fromtimestamp(bucket, UTC).strftime("%Y-%m-%d %H:%M:%S") for bucket in buckets]


def faded(colour: str, share: float) -> str:
    """A palette colour with an alpha channel, for bands."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"
