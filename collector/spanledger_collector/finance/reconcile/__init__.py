"""A vendor's bill and our own ledger in; what matches, what does not, and why, out. Pure."""

from __future__ import annotations

from .ours import HourUsage, Ours, OurUsage
from .report import CAUSES, Cell, Finding, Report, Totals, reconcile

__all__ = [
    "CAUSES",
    "Cell",
    "Finding",
    "HourUsage",
    "OurUsage",
    "Ours",
    "Report",
    "Totals",
    "reconcile",
]
