"""Sessions and users: who talks, how much, what it cost; one session as a thread of its traces."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import calls, people
from spanledger_collector.store.reads.asking import Row
from spanledger_collector.store.reads.calls import CallFilter
from spanledger_collector.store.reads.people import Person, Who
from spanledger_dashboards.here import read
from spanledger_dashboards.messages import excerpt
from spanledger_dashboards.pages.calls import cost_text
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.basic import empty, link, moment, page_title, panel, status, table
from spanledger_dashboards.text import ago, count, duration, line, usd, usd_exact
from spanledger_dashboards.view import View

ORDERS: dict[str, people.Order] = {"last": "last", "cost": "cost", "calls": "calls"}
LIMIT = 100


async def sessions(view: View) -> Component:
    """Sessions of the window; one of them as a thread when the address names it."""
    return await _render(view, "session_id", "Sessions", "One conversation or task, all its traces in order.")


async def users(view: View) -> Component:
    """Users of the window; the calls of one when the address names them."""
    return await _render(view, "user_id", "Users", "Who uses the models, and what each costs.")


SESSIONS = Page("/sessions", "Sessions", sessions, "Trace")
USERS = Page("/users", "Users", users, "Trace")


async def _render(view: View, who: Who, name: str, about: str) -> Component:
    order = ORDERS.get(view.get("order"), "last")
    one = view.get(who)
    if one:
        return await _thread(view, who, one, name)
    found = await read(view, people.people, view.window, who, order=order, limit=LIMIT)
    controls = [
        filters.search(view, who, name[:-1], f"{name[:-1].lower()} id"),
        filters.select(view, "order", "Order", [("last", "latest first"), ("cost", "dearest first"), ("calls", "most calls first")], "last"),
    ]  # fmt: skip
    if not found:
        body = empty(f"No {name.lower()} in this time range", "Widen the time range above, or name them in your code.",
                     "spanledger.update(user_id=\"ana\", session_id=\"ticket-4711\")\n# or through the gateway: x-spanledger-user, x-spanledger-session")  # fmt: skip
    else:
        body = panel(
            name,
            _list(view, who, found),
            about=f"{count(len(found))} shown" + (", the limit" if len(found) == LIMIT else ""),
            wide=True,
        )
    return html.Div([page_title(name, about), filters.bar(view, *controls), body], className="page")


def _list(view: View, who: Who, found: Sequence[Person]) -> Component:
    rows = [
        [
            link(person.id, view.href(**{who: person.id})),
            count(person.traces), count(person.calls), count(person.errors) if person.errors else "",
            html.Span(usd(person.cost), title=usd_exact(person.cost)),
            ", ".join(line(user, 30) for user in person.users[:3]) if who == "session_id" else count(person.sessions),
            duration(person.last - person.first), ago(person.last, view.now),
        ]
        for person in found
    ]  # fmt: skip
    last = C("Users") if who == "session_id" else C("Sessions", number=True)
    columns = [C("Session" if who == "session_id" else "User"), C("Traces", number=True), C("Model calls", number=True), C("Errors", number=True), C("Cost", number=True), last, C("From first to last", number=True), C("Last seen", number=True)]  # fmt: skip
    return table(columns, rows, label="Sessions" if who == "session_id" else "Users")


async def _thread(view: View, who: Who, one: str, name: str) -> Component:
    which = CallFilter(show="calls", equal={who: one})
    rows, number = await gather(
        read(view, calls.calls, view.window, which, descending=who == "user_id", limit=LIMIT),
        read(view, calls.count_calls, view.window, which),
    )
    title = page_title(
        line(one, 100),
        f"{name[:-1]} · {count(number)} model calls in this time range",
        link(f"All {name.lower()}", view.href(**{who: None})),
        link("Its calls", view.href("/calls", **{who: one})),
    )
    if not rows:
        return html.Div(
            [
                title,
                empty(
                    f"This {name[:-1].lower()} made no call in this time range", "Widen the time range above."
                ),
            ],
            className="page",
        )
    return html.Div(
        [title, panel("In order" if who == "session_id" else "Latest calls", _calls(view, rows), wide=True)],
        className="page",
    )


def _calls(view: View, rows: Sequence[Row]) -> Component:
    cells = [
        [
            moment(row["start_ns"], view.href(f"/traces/{row['trace']}", span=row["span"])), status(row["status"]),
            line(row["model"], 50), line(excerpt(row["output_start"]) if row["status"] != "error" else row["status_message"], 260),
            duration(row["duration_ns"]), cost_text(row),
        ]
        for row in rows
    ]  # fmt: skip
    return table(
        [
            C("Time (UTC)"),
            C("Status"),
            C("Model"),
            C("Answer"),
            C("Took", number=True),
            C("Cost", number=True),
        ],
        cells,
        label="Calls",
    )
