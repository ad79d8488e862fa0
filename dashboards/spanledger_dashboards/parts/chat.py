"""Messages in, a conversation out; every letter of it as text or as Markdown's own few shapes, never as markup."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from spanledger_dashboards.messages import Message, Part, Source
from spanledger_dashboards.parts.markdown import markdown
from spanledger_dashboards.text import NONE, decimal, line, plain

MAX_LETTERS = 12_000
"""A part shows no more than this; the raw record has it all."""

_ROLES = {
    "system": "System",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool",
    "developer": "Developer",
}


def conversation(messages: Sequence[Message], *, as_markdown: bool = False) -> Component:
    """The turns in order, with their roles; texts as they were recorded, or as Markdown shows them."""
    return html.Div([_turn(message, as_markdown) for message in messages], className="chat")


def retrieved(sources: Sequence[Source]) -> Component:
    """The documents a call was given, with their age when it is known."""
    return html.Div(
        [_source(number, source) for number, source in enumerate(sources, 1)], className="sources"
    )


def block(text: str, limit: int = MAX_LETTERS) -> Component:
    """Text as it was recorded, line breaks kept; cut with a word about it."""
    shown: list[Component | str] = [plain(text[:limit])]
    if len(text) > limit:
        shown.append(html.Em(f" … {len(text) - limit:,} more characters in the raw record"))
    return html.Div(shown, className="text", dir="auto")


def _turn(message: Message, as_markdown: bool) -> Component:
    role = message.role or "text"
    known = role if role in _ROLES else "other"
    body = [_part(part, as_markdown) for part in message.parts] or [
        html.Div("(no content)", className="about")
    ]
    label = html.Div(_ROLES.get(role, line(role, 30)), className="role")
    return html.Article([label, html.Div(body, className="turn-body")], className=f"turn {known}")


def _part(part: Part, as_markdown: bool) -> Component:
    if part.kind == "text":
        return markdown(part.text) if as_markdown else block(part.text)
    if part.kind == "image" and part.source:
        return html.Img(src=part.source, alt="image from the record", className="inline-image")
    if part.kind == "image":
        return html.Div(line(part.text, 240), className="about")
    names = {"tool_call": "calls", "tool_result": "result of", "reasoning": "reasoning", "other": "part"}
    title = html.Summary([names[part.kind], " ", html.Code(line(part.title, 80)) if part.title else ""])
    return html.Details(
        [title, block(part.text)], open=part.kind in ("tool_call", "tool_result"), className="tool"
    )


def _source(number: int, source: Source) -> Component:
    head = [f"{number}. ", html.Strong(line(source.name, 120) or "document")]
    about = [
        f"score {decimal(source.score)}" if source.score is not None else "",
        source.version,
        source.updated_at,
    ]
    note = " · ".join(line(word, 60) for word in about if word) or NONE
    return html.Details(
        [html.Summary([*head, html.Span(note, className="about")]), block(source.content, 4000)],
        open=number <= 2,
        className="source",
    )
