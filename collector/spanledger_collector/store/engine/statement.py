"""The SQL text and body of a request in; the statement, its kind, format and data out. Pure.

Only what the HTTP interface itself must know is read here; meaning is left to the engine's parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
        data: An insert's rows in ``format``; None for any other statement.
        format_at: Where that ``FORMAT`` begins in ``sql``; -1 for none.
    """

    sql: str
    verb: str
    format: str
    data: bytes | memoryview | None = None
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


def read_statement(query: str, body: bytes) -> Statement:
    """Put URL and body together as ClickHouse does.

    ``query`` is the URL's or form's SQL. An insert's body is data and stays bytes; for any other
    statement the body continues the SQL. Raises ``UnicodeDecodeError`` where SQL is not UTF-8.
    """
    if not query and _verb(_head(body)) == "INSERT":
        return _insert_in_body(body)
    if _verb(query) == "INSERT":
        return _insert_by_url(query, body)
    sql = "\n".join(part for part in (query, body.decode()) if part)
    name, at = _trailing_format(sql)
    return Statement(sql, _verb(sql), name, format_at=at)


def _head(body: bytes) -> str:
    """The beginning of a body, each byte a character, so that places in it are places in the body."""
    return body[:_HEAD].decode("latin-1")


def _insert_by_url(query: str, body: bytes) -> Statement:
    end, name, start = _insert_head(query)
    if end < 0:  # INSERT ... SELECT: all of it is SQL
        return Statement(query + ("\n" + body.decode() if body else ""), "INSERT", "")
    return Statement(query[:end], "INSERT", name, query[start:].encode() + body)


def _insert_in_body(body: bytes) -> Statement:
    end, name, start = _insert_head(_head(body))
    if start >= min(len(body), _HEAD) and len(body) > _HEAD:  # the data begins beyond the head
        end, name, start = _insert_head(body.decode("latin-1"))
    if end < 0:
        return Statement(body.decode(), "INSERT", "")
    return Statement(body[:end].decode(), "INSERT", name, memoryview(body)[start:])


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
