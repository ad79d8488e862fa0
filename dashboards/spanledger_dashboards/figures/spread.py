"""Bins and shares in; histograms out."""

from __future__ import annotations

from collections.abc import Sequence

from .frame import COUNT, Figure, figure


def bars(bins: Sequence[tuple[float, float, int]], colour: str, height: int = 220) -> Figure:
    """A histogram of equal bins."""
    trace = {
        "type": "bar", "x": [(low + high) / 2 for low, high, _ in bins], "y": [number for *_, number in bins],
        "width": [(high - low) * 0.94 for low, high, _ in bins], "name": "verdicts", "marker": {"color": colour},
        "customdata": None, "text": [f"{low:.3g} to {high:.3g}" for low, high, _ in bins], "textposition": "none",
        "hovertemplate": "%{text}: %{y:,.0f}<extra></extra>",
    }  # fmt: skip
    return figure([trace], COUNT, height=height, hovermode="closest",
                  xaxis={"type": "linear", "hoverformat": ".3g", "tickformatstops": [], "fixedrange": True})  # fmt: skip
