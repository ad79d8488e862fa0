"""Markdown, written by nobody one can trust, in; Dash's own components out, so that no letter of it becomes markup.

The parser's tokens are read one by one: raw HTML stays text, an image is named and not fetched, a link must lead to
http(s) and says where. What the parser does not know as a token of CommonMark or a table is shown as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from dash import html
from dash.development.base_component import Component

from spanledger_dashboards.text import line, plain

MAX_LETTERS = 12_000
MAX_NESTING = 20

_BOXES: dict[str, Any] = {
    "paragraph": html.P, "bullet_list": html.Ul, "ordered_list": html.Ol, "list_item": html.Li,
    "blockquote": html.Blockquote, "table": html.Table, "thead": html.Thead, "tbody": html.Tbody, "tr": html.Tr,
    "th": html.Th, "td": html.Td, "strong": html.Strong, "em": html.Em, "s": html.Del,
}  # fmt: skip


def markdown(text: str) -> Component:
    """The text as Markdown shows it; what is beyond ``MAX_LETTERS`` is left to the raw record."""
    shown = plain(text[:MAX_LETTERS])
    body = _children(iter(_parser().parse(shown)))
    if len(text) > MAX_LETTERS:
        body.append(html.Em(f" … {len(text) - MAX_LETTERS:,} more characters in the raw record"))
    return html.Div(body, className="text markdown", dir="auto")


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    # No raw HTML, no links made of bare words; a bound on nesting, as hostile text nests for ever.
    return MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}).enable(
        ["table", "strikethrough"]
    )


def _children(tokens: Iterator[Any]) -> list[Component | str]:
    """Components up to the end of what was opened."""
    made: list[Component | str] = []
    for token in tokens:
        if token.nesting < 0:
            break
        if token.nesting > 0:
            made.append(_box(token, _children(tokens)))
        else:
            made += _leaf(token)
    return made


def _box(token: Any, inside: list[Component | str]) -> Component:
    kind = str(token.type).removesuffix("_open")
    if kind == "heading":
        # Headings of the page stand above; these are only bold, so that its outline stays the page's.
        return html.P(html.Strong(inside), className="md-heading")
    if kind == "link":
        return _link(str(token.attrGet("href") or ""), inside)
    return _BOXES.get(kind, html.Span)(inside)


def _link(address: str, inside: list[Component | str]) -> Component:
    if urlsplit(address).scheme not in ("http", "https"):
        return html.Span([*inside, f" ({line(address, 200)})"])
    return html.A(inside, href=address, title=line(address, 300), rel="noopener noreferrer nofollow", target="_blank", className="a")  # fmt: skip


def _leaf(token: Any) -> Sequence[Component | str]:
    match token.type:
        case "inline":
            return _children(iter(token.children or ()))
        case "fence" | "code_block":
            return [html.Pre(html.Code(token.content), tabIndex="0")]
        case "code_inline":
            return [html.Code(token.content)]
        case "image":
            return [
                html.Em(f"[image: {line(token.content, 120)} {line(str(token.attrGet('src') or ''), 200)}]")
            ]
        case "hr":
            return [html.Hr()]
        case "hardbreak":
            return [html.Br()]
        case "softbreak":
            return ["\n"]
        case _:
            return [str(token.content)]
