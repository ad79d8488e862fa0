"""A page's month: the one its address names, else the running one; and the months one may choose."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from .view import BadView, View


def month_of(view: View, *, before: int = 0) -> date:
    """The first day of the page's month; without one in the address so many months before the running one.

    Raises BadView for what is no month.
    """
    text = view.get("month")
    if not text:
        first = datetime.fromtimestamp(view.now / 1e9, UTC).date().replace(day=1)
        for _ in range(before):
            first = (first - timedelta(days=1)).replace(day=1)
        return first
    if not re.fullmatch(r"(19[7-9]\d|20\d\d|21[0-3]\d)-(0[1-9]|1[0-2])", text):
        raise BadView(f"“{text[:20]}” is no month, such as 2026-05.")
    return date.fromisoformat(f"{text}-01")


def choices(view: View, count: int = 14) -> list[tuple[str, str]]:
    """The latest months, newest first: value and label."""
    first = datetime.fromtimestamp(view.now / 1e9, UTC).date().replace(day=1)
    found: list[tuple[str, str]] = []
    for _ in range(count):
        found.append((f"{first:%Y-%m}", f"{first:%B %Y}"))
        first = (first - timedelta(days=1)).replace(day=1)
    return found


def after(month: date) -> date:
    """The first day of the next month."""
    return (month + timedelta(days=32)).replace(day=1)
