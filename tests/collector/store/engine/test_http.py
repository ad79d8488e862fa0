"""The HTTP interface beyond what clickhouse-connect asks for: statuses, limits, streams, headers."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.http_raw import Answer, connection, request
from tests.servers import Engine, start_engine

pytestmark = pytest.mark.clickhouse

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with tight limits and a token for each kind of user."""
    engine = start_engine(
        tmp_path_factory.mktemp("small"),
        token="secret",
        reader_token="read",
        handles=4,
        queue=2,
        max_body=1_000_000,
        max_buffered=1_500_000,
    )
    yield engine
    engine.server.stop()


KEY = {"X-ClickHouse-Key": "secret"}


def test_a_ping_needs_no_token(small: Engine) -> None:
    assert request(f"{small.url}/ping", method="GET").body == b"Ok.\n"
    assert request(small.url, method="GET").body == b"Ok.\n"
    assert request(f"{small.url}/play", method="GET").status == 404


def test_a_wrong_token_is_refused_before_the_body_is_read(small: Engine) -> None:
    for headers in ({}, {"X-ClickHouse-Key": "wrong"}, {"X-ClickHouse-User": "reader", **KEY}):
        answer = request(small.url, "SELECT 1", headers=headers)
        assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (403, "516")
    assert request(small.url, "SELECT 1", headers=KEY).text == "1\n"
    reader = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "read"}
    assert request(small.url, "SELECT 1", headers=reader).text == "1\n"
    refused = request(small.url, "CREATE TABLE t (x UInt8) ENGINE = Memory", headers=reader)
    assert (refused.status, refused.headers["x-clickhouse-exception-code"]) == (403, "164")


def test_a_link_cannot_write(engine: Engine) -> None:
    answer = request(
        engine.url, method="GET", params={"query": "CREATE TABLE linked (x UInt8) ENGINE = Memory"}
    )
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert request(engine.url, method="GET", params={"query": "SELECT 1"}).text == "1\n"


def test_a_body_over_the_limit_is_refused_plain_or_inflated(small: Engine) -> None:
    plain = request(small.url, b"SELECT 1 -- " + b"x" * 1_000_000, headers=KEY)
    assert plain.status == 413
    bomb = gzip.compress(b"SELECT 1 -- " + b"x" * 1_000_000)
    assert len(bomb) < 10_000
    inflated = request(small.url, bomb, headers={**KEY, "Content-Encoding": "gzip"})
    assert (inflated.status, "SPANLEDGER_ENGINE_MAX_BODY" in inflated.text) == (413, True)


def test_bodies_that_together_are_too_large_wait_outside(small: Engine) -> None:
    half = connection(small.url)
    half.putrequest("POST", "/")
    half.putheader("X-ClickHouse-Key", "secret")
    half.putheader("Content-Length", "950000")
    half.endheaders(b"SELECT 1 -- " + b"x" * 900_000)
    time.sleep(0.3)
    large = b"INSERT INTO FUNCTION null('s String') FORMAT TSV\n" + b"x" * 800_000
    second = request(small.url, large, headers=KEY)
    half.close()
    assert (second.status, "SPANLEDGER_ENGINE_MAX_BUFFERED" in second.text) == (503, True)
    wait_until(lambda: request(small.url, large, headers=KEY).status == 200)


def busy(engine: Engine) -> int:
    lines = request(f"{engine.url}/metrics", method="GET").text.splitlines()
    return int(float(next(line for line in lines if line.startswith("spanledger_engine_busy ")).split()[1]))


def test_a_full_queue_answers_503_while_inserts_have_threads_of_their_own(tmp_path: Path) -> None:
    engine = start_engine(tmp_path, handles=4, queue=2)
    request(engine.url, "CREATE TABLE q (n UInt64) ENGINE = MergeTree ORDER BY n")
    with ThreadPoolExecutor(6) as readers:
        calls = [readers.submit(request, engine.url, ENDLESS) for _ in range(4)]
        wait_until(lambda: busy(engine) == 4)
        assert request(engine.url, "INSERT INTO q FORMAT TSV\n1\n2\n").status == 200
        calls += [readers.submit(request, engine.url, ENDLESS) for _ in range(2)]
        wait_until(lambda: busy(engine) == 6)
        refused = request(engine.url, "SELECT 1")
        assert (refused.status, refused.headers["x-clickhouse-exception-code"]) == (503, "202")
        engine.server.stop()
    ended = [call.result().headers["x-clickhouse-exception-code"] for call in calls]
    assert sorted(ended) == ["202"] * 3 + ["394"] * 3  # what waited, and what ran


@pytest.mark.parametrize("waits", [0, 1])
def test_an_answer_of_many_small_blocks_arrives_whole_and_is_summed_up(engine: Engine, waits: int) -> None:
    params = {"max_block_size": 10, "wait_end_of_query": waits}
    answer = request(engine.url, "SELECT number FROM numbers(20000)", params=params)
    assert answer.body.count(b"\n") == 20_000
    read = int(json.loads(answer.headers["x-clickhouse-summary"])["read_rows"])
    # The engine's own counts may come a block late; without the wait they end with the first pieces.
    assert (19_000 if waits else 1) <= read <= 20_000


def test_an_answer_tells_its_format_its_query_and_its_work(engine: Engine) -> None:
    answer = request(
        engine.url, "SELECT number FROM numbers(1000) FORMAT JSONEachRow", params={"query_id": "told"}
    )
    summary = json.loads(answer.headers["x-clickhouse-summary"])
    assert int(summary["read_rows"]) > 0
    assert answer.headers["x-clickhouse-format"] == "JSONEachRow"
    assert answer.headers["x-clickhouse-query-id"] == "told"
    assert len(answer.body.splitlines()) == 1000


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd"])
def test_an_answer_is_compressed_only_on_demand(engine: Engine, encoding: str) -> None:
    headers = {"Accept-Encoding": encoding}
    assert "content-encoding" not in request(engine.url, "SELECT 1", headers=headers).headers
    answer = request(engine.url, "SELECT 1", headers=headers, params={"enable_http_compression": 1})
    assert answer.headers["content-encoding"] == encoding


@pytest.mark.parametrize(
    "name", ["TSV", "CSVWithNames", "JSON", "JSONCompactEachRow", "RowBinary", "Arrow", "Parquet"]
)
def test_every_format_of_the_engine_can_be_asked_for(engine: Engine, name: str) -> None:
    by_clause = request(engine.url, f"SELECT 1 AS a FORMAT {name}")
    by_default = request(engine.url, "SELECT 1 AS a", params={"default_format": name})
    assert by_clause.status == by_default.status == 200
    assert by_clause.headers["x-clickhouse-format"] == by_default.headers["x-clickhouse-format"] == name
    assert by_clause.body


FAILS_LATE = "SELECT throwIf(number = 3000000, 'late') FROM numbers(4000000) FORMAT TSV"


def test_a_late_error_cuts_the_stream_so_that_no_client_takes_it_for_complete(engine: Engine) -> None:
    with pytest.raises(http.client.IncompleteRead) as cut:
        request(engine.url, FAILS_LATE)
    assert b"__exception__" in cut.value.partial
    assert b"Code: 395" in cut.value.partial


def test_a_client_that_waits_for_the_end_gets_a_late_error_as_a_status(engine: Engine) -> None:
    waits = {"wait_end_of_query": 1, "max_block_size": 1000}
    answer = request(engine.url, FAILS_LATE.replace("000000", "0000"), params=waits)
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (500, "395")


def test_a_broken_insert_writes_nothing_and_leaves_the_connection_usable(engine: Engine) -> None:
    request(engine.url, "CREATE TABLE broken (n UInt64) ENGINE = MergeTree ORDER BY n")
    for body in (
        "INSERT INTO broken FORMAT TSV\n1\nx\n",
        "INSERT INTO broken FORMAT Native\nnonsense",
        "INSERT INTO broken (nope) FORMAT TSV\n1\n",
        "INSERT INTO broken FORMAT Nope\n1\n",
    ):
        assert request(engine.url, body).status >= 400
    assert request(engine.url, "SELECT count() FROM broken").text == "0\n"
    assert request(engine.url, "INSERT INTO broken VALUES (1), (2)").status == 200
    assert request(engine.url, "SELECT sum(n) FROM broken").text == "3\n"
    request(engine.url, "DROP TABLE broken SYNC")


@pytest.mark.parametrize("through", ["checked", "source"], ids=["table", "view"])
def test_an_insert_whose_rows_cannot_be_written_is_an_error(engine: Engine, through: str) -> None:
    for sql in (
        "CREATE TABLE checked (n Int64, CONSTRAINT positive CHECK n > 0) ENGINE = MergeTree ORDER BY n",
        "CREATE TABLE source (n Int64) ENGINE = MergeTree ORDER BY n",
        "CREATE MATERIALIZED VIEW checked_mv TO checked AS SELECT n FROM source",
    ):
        assert request(engine.url, sql).status == 200
    for number in range(20):
        refused = request(engine.url, f"INSERT INTO {through} FORMAT TSV\n{number + 1}\n-1\n")
        assert (refused.status, refused.headers["x-clickhouse-exception-code"]) == (500, "469"), refused.text
        assert "`positive`" in refused.text
        assert request(engine.url, f"INSERT INTO {through} FORMAT TSV\n{number + 1}\n").status == 200
    for table in ("checked_mv", "source", "checked"):
        request(engine.url, f"DROP TABLE {table} SYNC")


def test_a_failing_insert_is_told_and_its_neighbour_loses_nothing(engine: Engine) -> None:
    """Both may fail at once; the one that could have been written goes through when it is sent again."""
    for sql in (
        "CREATE TABLE good (n UInt64) ENGINE = MergeTree ORDER BY n "
        "SETTINGS non_replicated_deduplication_window = 100",
        "CREATE TABLE bad (n Int64, CONSTRAINT never CHECK n < 0) ENGINE = MergeTree ORDER BY n",
    ):
        assert request(engine.url, sql).status == 200

    def fail(_number: int) -> int:
        return request(engine.url, "INSERT INTO bad FORMAT TSV\n1\n").status

    def write(number: int) -> None:
        for _ in range(20):
            token = {"insert_deduplication_token": f"good-{number}", "async_insert": 0}
            if request(engine.url, f"INSERT INTO good FORMAT TSV\n{number}\n", params=token).status == 200:
                return
        pytest.fail("it never went through")

    with ThreadPoolExecutor(2) as pool:
        failed, written = zip(
            *((pool.submit(fail, n), pool.submit(write, n)) for n in range(40)), strict=True
        )
        for call in written:
            call.result()
    assert [call.result() for call in failed] == [500] * 40
    assert request(engine.url, "SELECT count(), uniqExact(n) FROM good").text == "40\t40\n"
    for table in ("good", "bad"):
        request(engine.url, f"DROP TABLE {table} SYNC")


def test_an_insert_into_too_many_partitions_is_an_error(engine: Engine) -> None:
    request(engine.url, "CREATE TABLE parted (n UInt64) ENGINE = MergeTree PARTITION BY n ORDER BY n")
    body = "INSERT INTO parted FORMAT TSV\n1\n2\n3\n"
    refused = request(engine.url, body, params={"max_partitions_per_insert_block": 2})
    assert refused.headers["x-clickhouse-exception-code"] == "252"
    assert request(engine.url, body).status == 200
    assert request(engine.url, "SELECT count() FROM parted").text == "3\n"
    request(engine.url, "DROP TABLE parted SYNC")


def test_readers_go_on_beside_a_writer(engine: Engine) -> None:
    request(engine.url, "CREATE TABLE beside (n UInt64) ENGINE = MergeTree ORDER BY n")
    stop = threading.Event()

    def read() -> list[int]:
        seen: list[int] = []
        while not stop.is_set():
            seen.append(int(request(engine.url, "SELECT count() FROM beside").text))
        return seen

    with ThreadPoolExecutor(4) as readers:
        reads = [readers.submit(read) for _ in range(4)]
        rows = "\n".join(map(str, range(100)))
        for _ in range(50):
            assert request(engine.url, f"INSERT INTO beside FORMAT TSV\n{rows}\n").status == 200
        stop.set()
        for result in reads:
            seen = result.result()
            assert seen == sorted(seen)
            assert all(count % 100 == 0 for count in seen)
    assert request(engine.url, "SELECT count() FROM beside").text == "5000\n"
    request(engine.url, "DROP TABLE beside SYNC")


def wait_until(check: object, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not (callable(check) and check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def runs(engine: Engine, query_id: str) -> bool:
    sql = "SELECT count() FROM system.processes WHERE query_id = {id:String}"
    return request(engine.url, sql, params={"param_id": query_id}).text == "1\n"


def cancelled(answer: Answer) -> bool:
    return answer.headers.get("x-clickhouse-exception-code") == "394"


@pytest.mark.parametrize("output", ["TSV", "JSON"])
@pytest.mark.parametrize("mode", ["SYNC", "ASYNC"])
def test_a_statement_is_killed_by_the_id_its_client_gave(engine: Engine, mode: str, output: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        victim = pool.submit(
            request, engine.url, f"{ENDLESS} FORMAT {output}", params={"query_id": f"v-{mode}"}
        )
        wait_until(lambda: runs(engine, f"v-{mode}"))
        assert f"v-{mode}" in request(engine.url, "SHOW PROCESSLIST").text
        again = request(engine.url, "SELECT 1", params={"query_id": f"v-{mode}"})
        assert again.headers["x-clickhouse-exception-code"] == "216"
        test = request(engine.url, f"KILL QUERY WHERE query_id = 'v-{mode}' TEST")
        assert (test.text.split("\t")[1], victim.done()) == (f"v-{mode}", False)
        answer = request(engine.url, f"KILL QUERY WHERE query_id = 'v-{mode}' {mode} FORMAT JSONEachRow")
        assert json.loads(answer.text)["query_id"] == f"v-{mode}"
        assert cancelled(victim.result(10))
    assert request(engine.url, "SELECT 1").text == "1\n"


@pytest.mark.parametrize(
    "sql",
    [
        ENDLESS,
        f"{ENDLESS} FORMAT JSON",
        "SELECT number FROM numbers(1000000000000)",
    ],
    ids=["silent", "whole", "flowing"],
)
def test_a_client_that_leaves_gives_its_worker_back(engine: Engine, sql: str) -> None:
    for attempt in range(12):  # more than there are handles
        link = connection(engine.url)
        link.request("POST", f"/?query_id=left-{attempt}", sql)
        wait_until(lambda name=f"left-{attempt}": runs(engine, name))
        link.close()
    wait_until(lambda: request(engine.url, "SELECT count() FROM system.processes").text == "1\n")
    wait_until(lambda: b"spanledger_engine_busy 0" in request(f"{engine.url}/metrics", method="GET").body)


def test_a_slow_client_holds_up_nobody_and_gets_everything(engine: Engine) -> None:
    link = connection(engine.url)
    link.request("POST", "/", "SELECT number FROM numbers(5000000)")
    answer = link.getresponse()
    first = answer.read(1000)
    started = time.monotonic()
    for _ in range(20):
        assert request(engine.url, "SELECT 1").text == "1\n"
    assert time.monotonic() - started < 5
    body = first + answer.read()
    assert body.count(b"\n") == 5_000_000
    link.close()


def test_no_request_sees_the_settings_database_or_mode_of_another(engine: Engine) -> None:
    request(engine.url, "CREATE DATABASE IF NOT EXISTS elsewhere")
    plain = request(engine.url, "SELECT getSetting('max_block_size')").text.strip()
    sql = "SELECT getSetting('max_block_size'), currentDatabase(), getSetting('readonly'), {own:String}"

    def ask(number: int) -> tuple[list[str], list[str]]:
        dice = random.Random(number)
        block = dice.choice([plain, "1001", "1002"])
        database = dice.choice(["default", "elsewhere"])
        readonly = dice.choice(["0", "1", "2"])
        params = {"database": database, "readonly": readonly, "param_own": number}
        if block != plain:
            params["max_block_size"] = block
        if number % 10 == 0:
            request(engine.url, "SELECT broken", params=params)
        return request(engine.url, sql, params=params).text.split(), [block, database, readonly, str(number)]

    with ThreadPoolExecutor(12) as pool:
        for answered, expected in pool.map(ask, range(400)):
            assert answered == expected


def test_no_body_however_broken_makes_the_server_fail(engine: Engine) -> None:
    dice = random.Random(7)
    seeds = [
        b"SELECT 1 FORMAT Native", b"INSERT INTO nothing (a) FORMAT RowBinary \x00\xff", b"SHOW PROCESSLIST",
        b"SELECT * FROM system.processes AS p WHERE p.query_id != '' FORMAT JSON", b"KILL QUERY WHERE query_id = 'x'",
        b"WITH 1 AS a (SELECT a) UNION ALL SELECT {p:String}", b"INSERT INTO t VALUES (1, 'it''s')", b"DESCRIBE (SELECT 1)",
    ]  # fmt: skip
    for _ in range(600):
        body = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(4)):
            at = dice.randrange(len(body) + 1)
            body[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(4))
        answer = request(engine.url, bytes(body))
        assert answer.headers.get("x-clickhouse-exception-code", "0") != "1002", (bytes(body), answer.text)
    assert request(engine.url, "SELECT 1").text == "1\n"
