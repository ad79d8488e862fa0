"""Unmodified clickhouse-connect works against the embedded engine, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, Error, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import Profile, connect, connect_async, connect_reader
from spanledger_collector.store.settings import StoreSettings
from tests.servers import Engine

pytestmark = pytest.mark.clickhouse

HARD = [
    "it's",
    'say "x"',
    "back\\slash",
    "tab\tnew\nline\r",
    "ünï \u2028 😀",
    "nul\x00",
    "{x:String}",
    "",
    "\\N",
]


@pytest.fixture(scope="module")
def settings(engine: Engine) -> StoreSettings:
    return StoreSettings(clickhouse_url=f"{engine.url}/default")


@pytest.fixture(scope="module")
def client(settings: StoreSettings) -> Iterator[Client]:
    made = connect(settings)
    yield made
    made.close()


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    client.command(
        "CREATE TABLE things (n UInt64, s String, d Nullable(Decimal(18, 9))) ENGINE = MergeTree ORDER BY n"
    )
    yield "things"
    client.command("DROP TABLE things SYNC")


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_rows_come_back_as_they_were_inserted(
    settings: StoreSettings, table: str, compress: str | bool
) -> None:
    client = connect(settings, compress=compress)
    rows = [(number, text, Decimal("1.000000001")) for number, text in enumerate(HARD)] + [
        (99, "no cost", None)
    ]
    assert client.insert(table, rows, ["n", "s", "d"]).written_rows == len(rows)
    assert list(client.query("SELECT * FROM things ORDER BY n").result_rows) == rows
    client.close()


def test_an_arrow_table_comes_back_as_it_was_inserted(client: Client, table: str) -> None:
    arrow: Any = pa
    client.insert_arrow(table, arrow.table({"n": [0, 1, 2], "s": ["a", "b", "c"]}))
    got = client.query_arrow("SELECT n, s FROM things ORDER BY n")
    assert got.column("n").to_pylist() == [0, 1, 2]
    assert got.column("s").to_pylist() in (["a", "b", "c"], [b"a", b"b", b"c"])


@pytest.mark.parametrize("text", HARD)
def test_a_bound_parameter_stays_what_it_is(client: Client, text: str) -> None:
    assert client.query("SELECT {text:String}", {"text": text}).result_rows == [(text,)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Array(String)", ["it's", "a\\b", "x,y"]),
        ("DateTime64(9, 'UTC')", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("Nullable(String)", None),
        ("Decimal(18, 9)", Decimal("-0.000000001")),
        ("UInt64", 2**64 - 1),
        ("Bool", True),
    ],
)
def test_parameters_of_every_used_type_are_bound(client: Client, kind: str, value: Any) -> None:
    assert client.query(f"SELECT {{value:{kind}}} AS value", {"value": value}).result_rows == [(value,)]


def test_a_parameter_too_long_for_a_url_is_bound(client: Client) -> None:
    long = "ü\n'" * 50_000
    assert client.query("SELECT {text:String}", {"text": long}).result_rows == [(long,)]


def test_an_empty_answer_names_its_columns(client: Client, table: str) -> None:
    rows = client.query("SELECT n, d AS cost FROM things WHERE n = {n:UInt64};", {"n": 5})
    assert (rows.column_names, list(rows.result_rows)) == (("n", "cost"), [])
    assert client.query("SELECT n FROM things LIMIT 0").column_names == ("n",)
    assert client.query("SHOW TABLES LIKE 'nothing'").column_names == ("name",)


def test_a_large_answer_is_streamed_in_blocks(client: Client) -> None:
    total = 0
    with client.query_row_block_stream("SELECT number FROM numbers(1000000)") as blocks:
        sizes = [len(block) for block in blocks]
        total = sum(sizes)
    assert total == 1_000_000
    assert len(sizes) > 3


def test_an_error_in_the_middle_of_a_stream_reaches_the_caller(client: Client) -> None:
    failing = "SELECT throwIf(number = 900000, 'the middle') FROM numbers(2000000)"
    with (
        client.query_row_block_stream(failing) as blocks,
        pytest.raises(StreamFailureError, match="the middle"),
    ):
        for _ in blocks:
            pass
    with pytest.raises(Error, match="the middle"):
        client.query(failing)
    assert client.command("SELECT 1") == 1


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT nope", 47),
        ("SELECT * FROM nothing", 60),
        ("SELEC 1", 62),
        ("SELECT 1; SELECT 2", 62),
        ("SELECT throwIf(1)", 395),
        ("SELECT 1 INTO OUTFILE 'x'", 48),
    ],
)
def test_an_error_carries_the_engines_code(client: Client, sql: str, code: int) -> None:
    with pytest.raises(DatabaseError) as refused:
        client.query(sql)
    assert refused.value.code == code


def test_a_setting_holds_for_its_statement_only(client: Client) -> None:
    def asked() -> str:
        return str(client.command("SELECT getSetting('max_block_size')"))

    before = asked()
    assert client.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 77}).first_row == (
        77,
    )
    with pytest.raises(DatabaseError):
        client.query("SELECT nope", settings={"max_block_size": 78})
    assert [asked() for _ in range(10)] == [before] * 10


def test_a_tighter_limit_than_the_servers_own_is_kept(client: Client) -> None:
    greedy = "SELECT length(groupArray(number)) FROM numbers(10000000)"
    with pytest.raises(DatabaseError) as refused:
        client.query(greedy, settings={"max_memory_usage": 50_000_000})
    assert refused.value.code == 241
    assert client.query(greedy).first_row == (10_000_000,)


def test_what_a_statement_does_to_its_session_ends_with_it(client: Client) -> None:
    client.command("CREATE TEMPORARY TABLE mine (x UInt8)")
    client.command("SET max_block_size = 79")
    for _ in range(10):
        assert client.command("EXISTS TEMPORARY TABLE mine") == 0
        assert client.command("SELECT getSetting('max_block_size')") != 79


def test_an_unknown_setting_is_refused_and_harms_nobody(client: Client) -> None:
    with pytest.raises(DatabaseError) as refused:
        client.query("SELECT 1", settings={"no_such_setting": 1})
    assert refused.value.code == 115
    assert client.command("SELECT 1") == 1


def test_a_statement_names_the_client_own_query_id(client: Client) -> None:
    rows = client.query(
        "SELECT query_id FROM system.processes WHERE query LIKE '%system.processes%'",
        settings={"query_id": "mine-1"},
    )
    assert ("mine-1",) in rows.result_rows
    assert rows.summary["query_id"] == "mine-1"


def test_external_data_is_refused_clearly(client: Client) -> None:
    outside = ExternalData(file_name="x.csv", data=b"1\n", fmt="CSV", structure="n UInt8")
    with pytest.raises(DatabaseError, match="external data is not supported"):
        client.query("SELECT * FROM x", external_data=outside)  # pyright: ignore[reportCallIssue]


def test_a_session_is_refused_clearly(settings: StoreSettings) -> None:
    client = connect(settings, session_id="s")
    with pytest.raises(Error, match="sessions are not supported"):
        client.command("SELECT 1")
    client.close()


def test_a_reader_is_held_to_its_limits_and_cannot_write(settings: StoreSettings, table: str) -> None:
    reader = connect_reader(settings)
    assert reader.query("SELECT count() FROM things WHERE n > {n:UInt64}", {"n": 1}).first_row == (0,)
    for sql in (
        "INSERT INTO things (n) VALUES (1)",
        "DROP TABLE things",
        "SET readonly = 0",
        "KILL QUERY WHERE 1",
    ):
        with pytest.raises(DatabaseError) as refused:
            reader.command(sql)
        assert refused.value.code == 164
    with pytest.raises(DatabaseError) as refused:
        reader.insert(table, [[1]], ["n"])
    assert refused.value.code == 164
    with pytest.raises(DatabaseError) as refused:
        reader.query("SELECT number FROM numbers(100001)")
    assert refused.value.code == 396
    with pytest.raises(DatabaseError) as refused:
        reader.query(
            "SELECT count() FROM numbers(1e12) WHERE sipHash64(number) = 1",
            settings={"max_execution_time": 1},
        )
    assert refused.value.code == 159
    reader.close()


def test_the_user_reader_sees_no_files_and_no_network(settings: StoreSettings) -> None:
    url = settings.clickhouse_url.replace("//", "//reader@")
    reader = connect(StoreSettings(clickhouse_url=url), Profile())
    assert reader.command("SELECT 1") == 1
    for sql in (
        "SELECT * FROM file('/etc/passwd', 'Raw')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV')",
    ):
        with pytest.raises(DatabaseError) as refused:
            reader.query(sql)
        assert refused.value.code == 164
    reader.close()


@pytest.mark.anyio
async def test_the_async_client_inserts_reads_and_fails_alike(settings: StoreSettings, table: str) -> None:
    client = await connect_async(settings)
    rows = [(number, text, None) for number, text in enumerate(HARD)]
    assert (await client.insert(table, rows, ["n", "s", "d"])).written_rows == len(rows)
    counts = await asyncio.gather(*(client.query("SELECT count() FROM things") for _ in range(20)))
    assert {rows.first_row for rows in counts} == {(len(HARD),)}
    with pytest.raises(DatabaseError) as refused:
        await client.query("SELECT nope")
    assert refused.value.code == 47
    with pytest.raises(Error, match="the middle"):
        await client.query("SELECT throwIf(number = 900000, 'the middle') FROM numbers(2000000)")
    await client.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
