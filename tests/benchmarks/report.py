"""Figures with their targets in; a table on the terminal and an exit code out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. ``passed`` is None for a figure without a target."""

    name: str
    value: str
    target: str = ""
    passed: bool | None = None


def at_most(name: str, value: float, limit: float, unit: str = "", digits: int = 2) -> Figure:
    """A figure that must not be above ``limit``."""
    return Figure(name, f"{value:.{digits}f}{unit}", f"<= {limit:g}{unit}", value <= limit)


def at_least(name: str, value: float, limit: float, unit: str = "", digits: int = 2) -> Figure:
    """A figure that must not be below ``limit``."""
    return Figure(name, f"{value:.{digits}f}{unit}", f">= {limit:g}{unit}", value >= limit)


def report(figures: Sequence[Figure]) -> int:
    """Print name, figure, target and verdict a row; 1 when one missed its target."""
    verdicts = {None: "", True: "pass", False: "MISS"}
    rows = [(figure.name, figure.value, figure.target, verdicts[figure.passed]) for figure in figures]
    widths = [
        max(len(row[column]) for row in [*rows, ("name", "figure", "target", "")]) for column in range(4)
    ]
    for row in [("name", "figure", "target", ""), *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return int(any(figure.passed is False for figure in figures))
