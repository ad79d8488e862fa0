"""Many tests at once: p values in, p values that hold for all of them together out."""

from __future__ import annotations

from collections.abc import Sequence

MANY = 10  # beyond this many metrics the share of false alarms is held, not the chance of any


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): the chance of any false alarm is held."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's step-up adjustment (1995): the expected share of false alarms is held."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index], reverse=True)
    adjusted = [0.0] * len(p_values)
    running = 1.0
    for position, index in enumerate(order):
        running = min(running, p_values[index] * len(p_values) / (len(p_values) - position))
        adjusted[index] = running
    return adjusted


def adjust(p_values: Sequence[float]) -> list[float]:
    """Holm up to ten tests, Benjamini-Hochberg beyond."""
    return holm(p_values) if len(p_values) <= MANY else benjamini_hochberg(p_values)
