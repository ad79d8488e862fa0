"""The SQL of a request is cut into statement, format and data as ClickHouse does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_collector.store.engine import statement as module
from spanledger_collector.store.engine.statement import Statement


def read_statement(query: str, body: bytes, pieces: int = 1) -> Statement:
    """The statement of a body that came in so many pieces, its data in one."""
    size = len(body) // pieces + 1
    read = module.read_statement(query, [body[at : at + size] for at in range(0, len(body), size)])
    return read if read.data is None else replace(read, data=(b"".join(read.data),))


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize(
    ("query", "body", "sql", "name", "data"),
    [
        ("INSERT INTO t FORMAT JSONEachRow", b'{"a":1}', "INSERT INTO t ", "JSONEachRow", b'{"a":1}'),
        ("", b"INSERT INTO t FORMAT TSV\n1\n2\n", "INSERT INTO t ", "TSV", b"1\n2\n"),
        ("", b"INSERT INTO t FORMAT Native\r\n\x00\xff", "INSERT INTO t ", "Native", b"\x00\xff"),
        (
            "",
            b"insert into t (a, `format`) values (1),(2)",
            "insert into t (a, `format`) ",
            "Values",
            b" (1),(2)",
        ),
        ("INSERT INTO t VALUES", b"(1)", "INSERT INTO t ", "Values", b"(1)"),
        ("", b"/* FORMAT X */ INSERT INTO t FORMAT CSV 1", "/* FORMAT X */ INSERT INTO t ", "CSV", b"1"),
        (
            "INSERT INTO t SETTINGS async_insert=0 FORMAT Native",
            b"\xfe",
            "INSERT INTO t SETTINGS async_insert=0 ",
            "Native",
            b"\xfe",
        ),
    ],
)
def test_an_insert_is_cut_before_its_data(
    query: str, body: bytes, sql: str, name: str, data: bytes, pieces: int
) -> None:
    assert read_statement(query, body, pieces) == Statement(sql, "INSERT", name, (data,))


@pytest.mark.parametrize("sql", ["INSERT INTO t SELECT 1 FORMAT Null", "INSERT INTO t WITH 1 AS a SELECT a"])
def test_an_insert_from_a_select_has_no_data(sql: str) -> None:
    assert read_statement("", sql.encode()) == Statement(sql, "INSERT", "")
    assert read_statement(sql, b"") == Statement(sql, "INSERT", "")


@pytest.mark.parametrize(
    ("sql", "verb", "name"),
    [
        ("SELECT 1 FORMAT JSON", "SELECT", "JSON"),
        ("SELECT 'FORMAT TSV' AS format", "SELECT", ""),
        ("SELECT format('{}', 'FORMAT CSV') -- FORMAT X", "SELECT", ""),
        ("(SELECT 1)\n FORMAT Native;", "(", "Native"),
        ("-- c\n# c\n/* c */ with 1 as a select a format CSV settings max_threads=1", "WITH", "CSV"),
        ("SELECT $a$ FORMAT X '$a$ FORMAT TSV", "SELECT", "TSV"),
        ("SELECT 'it''s \\' FORMAT A' FORMAT TSV", "SELECT", "TSV"),
        ("", "", ""),
        ("-- only a comment", "", ""),
    ],
)
def test_the_kind_and_format_of_a_statement_are_found(sql: str, verb: str, name: str) -> None:
    statement = read_statement("", sql.encode())
    assert (statement.verb, statement.format) == (verb, name)


def test_a_body_continues_the_statement_of_the_url() -> None:
    assert read_statement("SELECT 1", b"FORMAT TSV").sql == "SELECT 1\nFORMAT TSV"


def test_what_follows_a_format_can_be_cut_off() -> None:
    assert read_statement("", b"SELECT 1; ").sql_without_format() == "SELECT 1"
    assert read_statement("", b"SELECT 1 FORMAT Native").sql_without_format() == "SELECT 1"


@given(st.binary(max_size=300), st.sampled_from(["Native", "RowBinary", "CSV"]), st.integers(1, 9))
def test_no_byte_of_an_inserts_data_is_lost(data: bytes, name: str, pieces: int) -> None:
    by_url = read_statement(f"INSERT INTO t (a) FORMAT {name}", data, pieces)
    assert by_url.data == (data,)
    by_body = read_statement("", f"INSERT INTO t (a) FORMAT {name}\n".encode() + b"x" + data, pieces)
    assert by_body.data == (b"x" + data,)


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    statement = read_statement("", text.encode())
    assert statement.data is not None or statement.sql == text


def test_an_insert_whose_head_is_very_long_is_cut_at_its_data() -> None:
    columns = ", ".join(f"column_{number}" for number in range(9000))
    body = f"INSERT INTO t ({columns}) FORMAT TSV\n".encode() + b"\xff" * 100_000
    for pieces in (1, 2, 3, 50):
        statement = read_statement("", body, pieces)
        assert statement == Statement(f"INSERT INTO t ({columns}) ", "INSERT", "TSV", (b"\xff" * 100_000,))
