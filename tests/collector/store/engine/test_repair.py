"""After a crash between an insert's token and its part, the retry is taken and nothing is doubled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spanledger_collector.store.engine.repair import forget_torn_inserts, torn_records
from tests.http_raw import request
from tests.servers import Engine, start_engine


def test_a_token_is_forgotten_only_when_neither_its_part_nor_a_merged_one_is_there() -> None:
    log = [
        "1\t202601_1_1_0\ta",  # merged into 1_3
        "1\t202601_2_2_0\tb",
        "1\t202601_4_4_0\tc",  # there
        "1\t202601_5_5_0\td",  # not there
        "1\t202602_2_2_0\te",  # another month: not there
        "1\t202601_6_6_0\tf",
        "2\t202601_6_6_0\tf",  # dropped already
        "1\tall_1_1_0_7\tg\twith a tab",  # a mutated part
    ]
    parts = [
        "202601_1_3_1",
        "202601_4_4_0_9",
        "all_1_4_2_8",
        "tmp_insert_202601_5_5_0",
        "detached",
        "202602_9_9_0",
    ]
    assert torn_records(log, parts) == ["2\t202601_5_5_0\td", "2\t202602_2_2_0\te"]


def test_a_record_that_was_cut_while_it_was_written_is_taken_off(tmp_path: Path) -> None:
    table = tmp_path / "store/abc/abcdef"
    log = table / "deduplication_logs/deduplication_log_1.txt"
    log.parent.mkdir(parents=True)
    (table / "all_1_1_0").mkdir()
    log.write_text("1\tall_1_1_0\ta\n1\tall_2_2")
    assert forget_torn_inserts(tmp_path) == 0
    assert log.read_text() == "1\tall_1_1_0\ta\n"


def insert(engine: Engine, token: str) -> None:
    answer = request(
        engine.url,
        "INSERT INTO calls FORMAT TSV\n1\n2\n3\n",
        params={
            "insert_deduplication_token": token,
            "async_insert": 0,
            "deduplicate_blocks_in_dependent_materialized_views": 1,
        },
    )
    assert answer.status == 200, answer.text


def counts(engine: Engine) -> str:
    return request(engine.url, "SELECT (SELECT count() FROM calls), (SELECT sum(n) FROM sums)").text


@pytest.mark.clickhouse
@pytest.mark.parametrize("table", ["calls", "sums"])
def test_the_retry_of_an_insert_that_was_cut_before_its_part_was_visible_is_taken(
    tmp_path: Path, table: str, engines: list[Engine]
) -> None:
    engine = start_engine(tmp_path)
    engines.append(engine)
    window = "SETTINGS non_replicated_deduplication_window = 100"
    for sql in (
        f"CREATE TABLE calls (n UInt64) ENGINE = MergeTree ORDER BY n {window}",
        f"CREATE TABLE sums (one UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY one {window}",
        "CREATE MATERIALIZED VIEW sums_mv TO sums AS SELECT 1 AS one, count() AS n FROM calls GROUP BY one",
    ):
        assert request(engine.url, sql).status == 200
    insert(engine, "kept")
    insert(engine, "torn")
    newest = "SELECT path FROM system.parts WHERE table = {t:String} AND active ORDER BY min_block_number DESC LIMIT 1"
    part = Path(request(engine.url, newest, params={"param_t": table}).text.strip())
    engine.server.kill()
    shutil.rmtree(part)  # as if killed before the part got its name
    engine = start_engine(tmp_path)
    engines.append(engine)
    insert(engine, "torn")
    insert(engine, "kept")
    assert counts(engine) == "6\t6\n"
