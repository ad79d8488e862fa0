"""A page's address in; the project, the window and the filters out, and addresses for links back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

from spanledger_collector.store.reads.window import DAY, HOUR, MINUTE, Window

RANGES: dict[str, tuple[str, int]] = {
    "15m": ("Last 15 minutes", 15 * MINUTE),
    "1h": ("Last hour", HOUR),
    "6h": ("Last 6 hours", 6 * HOUR),
    "24h": ("Last 24 hours", 24 * HOUR),
    "7d": ("Last 7 days", 7 * DAY),
    "30d": ("Last 30 days", 30 * DAY),
    "90d": ("Last 90 days", 90 * DAY),
}
"""Ranges up to a day end now; longer ones are whole UTC days up to and with today."""

DEFAULT_RANGE = "24h"
SHARED = ("project", "range", "from", "to")
"""What every page keeps in its address."""


class BadView(ValueError):
    """The address asks for something that cannot be; the message is for the reader."""


@dataclass(frozen=True, slots=True)
class View:
    """What one page is to show. ``filters`` are the page's own parameters, as given."""

    path: str
    project: str
    window: Window
    range: str
    now: int
    admin: bool = False
    filters: Mapping[str, str] = field(default_factory=dict[str, str])
    shared: Mapping[str, str] = field(default_factory=dict[str, str])

    def get(self, name: str, default: str = "") -> str:
        """One filter, or the default where the address has none."""
        return self.filters.get(name, default)

    def href(self, path: str | None = None, /, **filters: str | None) -> str:
        """An address with this view's project and time.

        To the same page the other filters stay and an empty or None value removes one; to another page only
        those given go along.
        """
        kept = dict(self.filters) if path is None or path == self.path else {}
        given = {name.rstrip("_"): value for name, value in filters.items()}
        query = {**self.shared, **kept, **given}
        clean = {name: value for name, value in query.items() if value}
        target = self.path if path is None else path
        return target + ("?" + urlencode(clean) if clean else "")

    def zoomed(self, path: str, start_s: int, step_s: int, **filters: str | None) -> str:
        """An address whose window is one bucket."""
        return self.href(path, range=None, from_=iso(start_s), to=iso(start_s + step_s), **filters)


def view_of(
    path: str,
    query: Mapping[str, object],
    projects: tuple[str, ...],
    now: int,
    *,
    admin: frozenset[str] = frozenset(),
) -> View:
    """Read an address. Raises BadView for a project that is not the viewer's, and for times that are none."""
    given = {name: _last(value) for name, value in query.items()}
    project = given.get("project") or projects[0]
    if project not in projects:
        raise BadView(f"You are not signed in to the project “{project}”. Sign in with one of its keys.")
    window, name = _window(given, now)
    return View(
        path=path,
        project=project,
        window=window,
        range=name,
        now=now,
        admin=project in admin,
        filters={key: value for key, value in given.items() if key not in SHARED and value},
        shared={key: given[key] for key in SHARED if given.get(key)},
    )


def iso(seconds: int) -> str:
    """A moment for an address."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _window(given: Mapping[str, str], now: int) -> tuple[Window, str]:
    if given.get("from"):
        start = _moment(given["from"])
        end = _moment(given["to"]) if given.get("to") else now
        if end <= start:
            raise BadView("The time range ends before it starts. Pick another one above.")
        return Window(start, end), "custom"
    name = given.get("range") or DEFAULT_RANGE
    if name not in RANGES:
        raise BadView(
            f"“{name}” is no time range. Allowed: {', '.join(RANGES)}, or from= and to= as ISO 8601."
        )
    length = RANGES[name][1]
    end = now if length <= DAY else (now // DAY + 1) * DAY
    return Window(end - length, end), name


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
    except (ValueError, OverflowError) as wrong:
        raise BadView(f"“{text[:60]}” is no moment in ISO 8601, such as 2026-01-31T14:00:00Z.") from wrong


def _last(value: object) -> str:
    if isinstance(value, list):
        return str(value[-1]) if value else ""  # pyright: ignore[reportUnknownArgumentType]
    return str(value)
