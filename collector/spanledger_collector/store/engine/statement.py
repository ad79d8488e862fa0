"""The SQL text and body of a request in; the statement, its kind, format and data out. Pure.

Only what the HTTP interface itself must know is read here; meaning is left to the engine's parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Formats whose pieces, one after another, are the same format again, so that they can be streamed.
STREAMABLE = frozenset(
    {
        "Native",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "RowBinary",
        "JSONEachRow",
        "LineAsString",
    }
)
_READS = frozenset({"SELECT", "WITH", "("})
Body = Sequence[bytes]
"""A request's body in the pieces in which it came."""

_HEAD = 64 * 1024  # bytes of a body in which an INSERT's data should begin
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|\#[!\ ][^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<text>'(?:[^'\\]|\\.|'')*(?:'|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z)|`(?:[^`\\]|\\.)*(?:`|\Z)
        |\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))
    |(?P<word>[A-Za-z_]\w*)
    |(?P<open>[(\[{])|(?P<close>[)\]}])
    |(?P<number>\d[\w.]*)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One request's SQL.

    Attributes:
        sql: What the engine is given; for an insert with data, without its ``FORMAT``.
        verb: The first word, in capitals; ``(`` for a bracketed SELECT; empty for no statement.
        format: The format the statement itself names; empty for none.
        data: An insert's rows in ``format``, in pieces; None for any other statement.
        format_at: Where that ``FORMAT`` begins in ``sql``; -1 for none.
    """

    sql: str
    verb: str
    format: str
    data: tuple[bytes | memoryview, ...] | None = None
    format_at: int = -1

    def sql_without_format(self) -> str:
        """The SQL before its trailing ``FORMAT``, without a final semicolon."""
        sql = self.sql if self.format_at < 0 else self.sql[: self.format_at]
        return sql.rstrip().rstrip(";")

    @property
    def reads(self) -> bool:
        """Whether it is a SELECT in any form."""
        return self.verb in _READS

    def streams(self, output_format: str) -> bool:
        """Whether its answer can be sent in pieces as the engine makes them."""
        return self.reads and output_format in STREAMABLE

    @property
    def returns_rows(self) -> bool:
        """Whether an empty answer still has columns to name."""
        return self.reads or self.verb in ("SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK")


def read_statement(query: str, body: Body) -> Statement:
    """Put URL and body together as ClickHouse does.

    ``query`` is the URL's or form's SQL. An insert's body is data and stays bytes; for any other
    statement the body continues the SQL. Raises ``UnicodeDecodeError`` where SQL is not UTF-8.
    """
    if not query:
        first, rest = _first(body)
        if _verb(_as_characters(first[:_HEAD])) == "INSERT":
            return _insert_in_body(first, rest)
    elif _verb(query) == "INSERT":
        return _insert_by_url(query, body)
    sql = "\n".join(part for part in (query, b"".join(body).decode()) if part)
    name, at = _trailing_format(sql)
    return Statement(sql, _verb(sql), name, format_at=at)


def _first(body: Body) -> tuple[bytes, Body]:
    """A piece in which an INSERT's data should begin, and the pieces after it."""
    size = 0
    for count, piece in enumerate(body, 1):
        size += len(piece)
        if size >= _HEAD:
            return (piece if count == 1 else b"".join(body[:count])), body[count:]
    return b"".join(body), ()


def _as_characters(raw: bytes) -> str:
    """Each byte a character, so that places in the text are places in the bytes."""
    return raw.decode("latin-1")


def _insert_by_url(query: str, body: Body) -> Statement:
    end, name, start = _insert_head(query)
    if end < 0:  # INSERT ... SELECT: all of it is SQL
        return Statement("\n".join(part for part in (query, b"".join(body).decode()) if part), "INSERT", "")
    return Statement(query[:end], "INSERT", name, (query[start:].encode(), *body))


def _insert_in_body(first: bytes, rest: Body) -> Statement:
    end, name, start = _insert_head(_as_characters(first[:_HEAD]))
    if start >= min(len(first), _HEAD) and (rest or len(first) > _HEAD):  # the data begins later
        first, rest = b"".join((first, *rest)), ()
        end, name, start = _insert_head(_as_characters(first))
    if end < 0:
        return Statement(b"".join((first, *rest)).decode(), "INSERT", "")
    return Statement(first[:end].decode(), "INSERT", name, (memoryview(first)[start:], *rest))


def _insert_head(text: str) -> tuple[int, str, int]:
    """Where the SQL of an INSERT ends, its format's name, and where its data begins; -1: no data."""
    depth = 0
    rest = tokens(text)
    for token in rest:
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if depth or token.lastgroup != "word":
            continue
        word = token.group().upper()
        if word in ("SELECT", "WITH", "FROM", "WATCH"):
            return -1, "", -1
        if word == "VALUES":
            return token.start(), "Values", token.end()
        if word == "FORMAT":
            named = next(rest, None)
            if named is not None and named.lastgroup == "word":
                return token.start(), named.group(), _skip_gap(text, named.end())
    return len(text), "Values", len(text)


def _skip_gap(text: str, at: int) -> int:
    """ClickHouse drops blanks and one line end between FORMAT's name and the data."""
    while at < len(text) and text[at] in " \t\f":
        at += 1
    at += text[at : at + 1] == "\r"
    return at + (text[at : at + 1] == "\n")


def _trailing_format(sql: str) -> tuple[str, int]:
    """The name after the last FORMAT outside brackets, and where it is; the engine applies it by itself."""
    if "format" not in sql.lower():
        return "", -1
    depth, name, at, expected = 0, "", -1, -1
    for token in tokens(sql):
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        is_word = token.lastgroup == "word"
        if expected >= 0 and is_word:
            name, at = token.group(), expected
        expected = token.start() if depth == 0 and is_word and token.group().upper() == "FORMAT" else -1
    return name, at


def _verb(sql: str) -> str:
    first = next(tokens(sql), None)
    return first.group().upper() if first is not None else ""


def tokens(sql: str) -> Iterator[re.Match[str]]:
    """What SQL is made of, without blanks and comments; ``lastgroup`` names the kind."""
    return (token for token in _TOKEN.finditer(sql) if token.lastgroup != "space")
