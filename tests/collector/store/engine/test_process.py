"""The engine's process starts or says why not, stops without loss, and comes back after kill -9."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.benchmarks.process import threads
from tests.http_raw import request
from tests.servers import Engine, command, free_port, start_engine

pytestmark = pytest.mark.clickhouse

TABLE = (
    "CREATE TABLE acked (batch UInt64, n UInt64) ENGINE = MergeTree ORDER BY (batch, n) "
    "SETTINGS non_replicated_deduplication_window = 1000"
)


def refused(**env: str) -> tuple[int, str]:
    done = subprocess.run(command("engine"), env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_a_second_process_on_the_same_home_is_refused(tmp_path: Path, engines: list[Engine]) -> None:
    engines.append(start_engine(tmp_path))
    code, said = refused(SPANLEDGER_HOME=str(tmp_path), SPANLEDGER_ENGINE_PORT=str(free_port()))
    assert code == 1
    assert f"another engine (process {engines[0].server.process.pid}) uses SPANLEDGER_HOME={tmp_path}" in said
    assert request(engines[0].url, "SELECT 1").text == "1\n"


def test_a_port_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused(SPANLEDGER_HOME=str(tmp_path), SPANLEDGER_ENGINE_PORT=str(port))
    assert (code, f"port {port}" in said, "SPANLEDGER_ENGINE_PORT" in said) == (1, True, True)


def test_the_engine_keeps_within_the_memory_it_is_given(tmp_path: Path, engines: list[Engine]) -> None:
    engines.append(start_engine(tmp_path, memory=700_000_000))
    asked = "SELECT value FROM system.server_settings WHERE name IN ('max_server_memory_usage', 'mark_cache_size')"
    assert sorted(request(engines[0].url, asked).text.split()) == ["43750000", "700000000"]
    greedy = request(engines[0].url, "SELECT length(groupArray(number)) FROM numbers(300000000)")
    assert greedy.headers["x-clickhouse-exception-code"] == "241"
    assert request(engines[0].url, "SELECT 1").text == "1\n"


def test_threads_of_a_burst_do_not_stay(tmp_path: Path, engines: list[Engine]) -> None:
    """Each of the engine's threads holds three files open, and by default it would keep a thousand of them."""
    engines.append(start_engine(tmp_path))
    pid = engines[0].server.process.pid
    wide = "SELECT number % 7 AS k, uniqExact(number) FROM numbers_mt(3000000) GROUP BY k"
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(request, engines[0].url, wide, params={"max_threads": 24}) for _ in range(8)]
        most = threads(pid)
        while not all(answer.done() for answer in answers):
            most = max(most, threads(pid))
            time.sleep(0.01)
    assert most > 65, "there was no burst"
    deadline = time.monotonic() + 30
    while threads(pid) > 60:  # about 47 stay
        assert time.monotonic() < deadline, f"{threads(pid)} of {most} threads stayed"
        time.sleep(0.1)


def test_a_backup_of_a_database_can_be_restored_after_it_was_lost(
    tmp_path: Path, engines: list[Engine]
) -> None:
    home = tmp_path / "home & <more>"
    home.mkdir()
    engines.append(start_engine(home))
    for sql in (
        "CREATE DATABASE kept",
        "CREATE TABLE kept.t (n UInt64) ENGINE = MergeTree ORDER BY n",
        "INSERT INTO kept.t SELECT number FROM numbers(1000)",
        "BACKUP DATABASE kept TO File('kept')",
        "DROP DATABASE kept SYNC",
        "RESTORE DATABASE kept FROM File('kept')",
    ):
        answer = request(engines[0].url, sql)
        assert answer.status == 200, answer.text
    assert request(engines[0].url, "SELECT sum(n) FROM kept.t").text == "499500\n"
    assert (home / "engine" / "backups" / "kept").is_dir()
    outside = request(engines[0].url, f"BACKUP DATABASE kept TO File('{tmp_path}/kept')")
    assert "not allowed for backups" in outside.text


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"SPANLEDGER_ENGINE_PORT": "none"}, ["SPANLEDGER_ENGINE_PORT", "'none'", "integer"]),
        ({"SPANLEDGER_ENGINE_HANDLES": "0"}, ["SPANLEDGER_ENGINE_HANDLES", "greater than or equal to 1"]),
        ({"SPANLEDGER_HOST": "0.0.0.0"}, ["SPANLEDGER_ENGINE_TOKEN is required", "SPANLEDGER_HOST=0.0.0.0"]),
    ],
)
def test_a_bad_setting_ends_the_process_and_names_the_variable(
    tmp_path: Path, env: dict[str, str], words: list[str]
) -> None:
    code, said = refused(SPANLEDGER_HOME=str(tmp_path), **env)
    assert code == 2
    assert [word for word in words if word not in said] == []


def test_a_config_file_in_the_working_directory_is_not_read(tmp_path: Path, engines: list[Engine]) -> None:
    (tmp_path / "config.xml").write_text("<clickhouse><path>/nowhere/</path></clickhouse>")
    home = tmp_path / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        engines.append(start_engine(home))
    assert request(engines[0].url, "SELECT 1").text == "1\n"


def test_stopping_ends_reads_and_keeps_every_acknowledged_insert(
    tmp_path: Path, engines: list[Engine]
) -> None:
    engine = start_engine(tmp_path)
    engines.append(engine)
    request(engine.url, TABLE)
    acked: list[int] = []
    stopped = threading.Event()

    def insert() -> None:
        batch = 0
        while not stopped.is_set():
            with suppress(OSError, HTTPException):
                if (
                    request(engine.url, f"INSERT INTO acked FORMAT TSV\n{batch}\t1\n{batch}\t2\n").status
                    == 200
                ):
                    acked.append(batch)
            batch += 1

    with ThreadPoolExecutor(2) as pool:
        pool.submit(insert)
        endless = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
        read = pool.submit(request, engine.url, endless)
        time.sleep(1)
        started = time.monotonic()
        engine.server.process.send_signal(signal.SIGTERM)
        assert engine.server.process.wait(15) == 0
        assert time.monotonic() - started < 10
        stopped.set()
        assert read.exception(5) is not None or read.result().status == 500
    again = start_engine(tmp_path)
    engines.append(again)
    assert acked
    kept = request(again.url, "SELECT groupUniqArray(batch) FROM acked FORMAT JSONCompactEachRow").text
    assert set(acked) <= {int(batch) for batch in kept.strip("[]\n").replace('"', "").split(",")}


def test_killed_at_any_moment_nothing_acknowledged_is_lost_and_a_retry_doubles_nothing(
    tmp_path: Path, engines: list[Engine]
) -> None:
    rounds, batch = 4, 0
    for round_number in range(rounds):
        engine = start_engine(tmp_path)
        engines.append(engine)
        request(engine.url, TABLE.replace("TABLE", "TABLE IF NOT EXISTS"))
        threading.Timer(0.3 + 0.13 * round_number, engine.server.kill).start()
        while insert_batch(engine, batch):
            batch += 1
    last = start_engine(tmp_path)
    engines.append(last)
    assert insert_batch(last, batch)  # the one whose answer never came, sent again as it was
    counts = request(last.url, "SELECT count(), uniqExact(batch), max(batch) FROM acked").text.split()
    assert counts == [str((batch + 1) * 100), str(batch + 1), str(batch)]
    assert batch > rounds


def insert_batch(engine: Engine, batch: int) -> bool:
    rows = "".join(f"{batch}\t{n}\n" for n in range(100))
    try:
        answer = request(
            engine.url,
            f"INSERT INTO acked FORMAT TSV\n{rows}",
            params={"insert_deduplication_token": f"batch-{batch}", "async_insert": 0},
        )
    except (OSError, HTTPException):
        return False
    assert answer.status == 200, answer.text
    return True
