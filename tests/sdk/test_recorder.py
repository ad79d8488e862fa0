"""Spans given as facts reach a collector, whatever the collector and the disk do; every loss is counted."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spanledger import ids, settings
from spanledger.journal.shipper import Shipper
from spanledger.journal.shipping import Answer
from spanledger.recorder import Recorder
from tests.sdk.sink import Sink, serving

Make = Callable[..., Recorder]


class Away:
    """A network without a collector."""

    def post(self, body: bytes) -> Answer:
        return Answer(0)

    def close(self) -> None: ...


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Recorder] = []

    def build(url: str, **given: Any) -> Recorder:
        given = {"home": str(tmp_path / "home"), "shipper": "thread", "ship_interval_s": 0.05} | given
        made.append(Recorder(settings.load({}, endpoint=url, key="sl_a_b", **given)))
        return made[-1]

    yield build
    for recorder in made:
        recorder.close(0)


def record(recorder: Recorder, count: int = 1, name: str = "call", attributes: Any = None) -> None:
    for number in range(count):
        now = time.time_ns()
        recorder.record(
            name,
            trace_id=ids.new_trace_id(),
            span_id=ids.new_span_id(),
            start_time=now - 1000,
            end_time=now,
            attributes=attributes or {"number": number},
        )


@pytest.mark.parametrize("mode", ["journal", "memory"])
def test_a_recorded_span_arrives_with_the_key(make: Make, sink: Sink, mode: str) -> None:
    recorder = make(sink.url, mode=mode)
    record(recorder, 3)
    assert recorder.flush()
    assert sink.distinct() == 3
    assert sink.headers[0]["authorization"] == "Bearer sl_a_b"
    assert recorder.counters() == (3, 3, 0, {})


def test_the_shipper_process_ships_and_leaves(make: Make, sink: Sink) -> None:
    recorder = make(sink.url, shipper="process")
    record(recorder, 50)
    assert recorder.flush(20)
    assert recorder.close()
    deadline = time.monotonic() + 10
    while list(recorder.directory.glob("*.seg")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sink.distinct() == 50
    assert list(recorder.directory.glob("*.seg")) == []


def test_the_journal_is_readable_by_its_owner_only(make: Make, sink: Sink) -> None:
    recorder = make(sink.url)
    sink.statuses = [503] * 100
    record(recorder)
    files = [recorder.directory, *recorder.directory.iterdir()]
    assert len(files) >= 2
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in files)


def test_what_an_earlier_process_left_is_shipped_by_the_next(make: Make, sink: Sink, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        same = settings.load({}, endpoint=sink.url, key="sl_a_b", home=str(tmp_path / "home"))
        silent = Recorder(same, transport=Away)
        record(silent, 7)
        os._exit(0)
    os.waitpid(child, 0)
    assert sink.distinct() == 0
    record(make(sink.url), 1)
    assert sink.wait_for(8) == 8


@pytest.mark.parametrize("mode", ["journal", "memory"])
def test_a_collector_that_is_away_costs_no_span(make: Make, free_port: int, mode: str) -> None:
    recorder = make(f"http://127.0.0.1:{free_port}", mode=mode)
    record(recorder, 2500)
    assert not recorder.flush(0.2)
    assert recorder.counters().kept == 2500
    with serving(Sink(), free_port) as sink:
        assert recorder.flush(15)
        assert sink.distinct() == len(sink.spans) == 2500


@pytest.mark.parametrize("mode", ["journal", "memory"])
def test_a_repeated_body_is_the_same_body(make: Make, sink: Sink, mode: str) -> None:
    sink.statuses = [503, 429]
    recorder = make(sink.url, mode=mode)
    record(recorder, 5)
    time.sleep(0.15)
    record(recorder, 5)
    assert recorder.flush()
    assert sink.bodies[0] == sink.bodies[1] == sink.bodies[2]
    assert sink.distinct() == len(sink.spans) == 10


@pytest.mark.parametrize("mode", ["journal", "memory"])
def test_one_span_the_collector_refuses_does_not_take_its_batch_along(
    make: Make, sink: Sink, mode: str
) -> None:
    sink.reject_names = {"poison"}
    recorder = make(sink.url, mode=mode)
    record(recorder, 20)
    record(recorder, 1, "poison")
    record(recorder, 20)
    assert recorder.flush(10)
    assert sink.distinct() == 40
    assert recorder.counters() == (41, 40, 0, {"rejected": 1})


def test_spans_rejected_in_a_partial_success_are_counted(make: Make, sink: Sink) -> None:
    sink.partial_rejected = 2
    recorder = make(sink.url, mode="memory")
    record(recorder, 5)  # the thread starts with the first span: one body or two
    assert recorder.flush()
    counts = recorder.counters()
    assert counts.dropped["rejected"] in (1, 2)
    assert counts.shipped + counts.dropped["rejected"] == 5


def test_a_full_journal_drops_and_counts(
    make: Make, dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = make(f"http://127.0.0.1:{dead_port}", journal_mb=8)
    record(recorder, 1000, attributes={"text": "x" * 16_000})
    counts = recorder.counters()
    assert counts.recorded == 1000
    assert counts.kept + counts.dropped["journal_full"] == 1000
    assert 300 < counts.kept < 530
    assert sum(file.stat().st_size for file in recorder.directory.iterdir()) <= 8 << 20
    recorder.close(0)
    assert "spans were dropped" in caplog.text


def test_a_journal_that_cannot_be_written_falls_back_to_memory_and_says_so_once(
    make: Make, sink: Sink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    recorder = make(sink.url)
    record(recorder, 10)
    assert recorder.flush()
    assert sink.distinct() == 10
    assert caplog.text.count("kept in memory") == 1
    assert recorder.counters() == (10, 10, 0, {})


def test_memory_is_bounded_and_its_drops_are_counted(make: Make, dead_port: int) -> None:
    recorder = make(f"http://127.0.0.1:{dead_port}", mode="memory", memory_mb=2)
    record(recorder, 1000, attributes={"text": "x" * 8_000})
    recorder.flush(0.1)
    counts = recorder.counters()
    assert counts.recorded == 1000
    assert counts.dropped["memory_full"] == 1000 - counts.kept
    assert 100 < counts.kept < 900


def test_spans_older_than_the_age_limit_are_removed_and_counted(make: Make, dead_port: int) -> None:
    recorder = make(f"http://127.0.0.1:{dead_port}", journal_max_age_s=60)
    record(recorder, 5)
    later = Shipper(recorder.directory, Away().post, max_age_s=60, clock=lambda: time.time_ns() + 61 * 10**9)
    later.ship_once()
    later.release()
    assert recorder.counters() == (5, 0, 0, {"expired": 5})


def test_a_shipper_does_not_leave_what_was_begun_during_its_last_pass(
    make: Make, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanledger.journal.shipper._IDLE_S", 0.0)

    def nobody(recorder: Recorder) -> None:
        return

    monkeypatch.setattr(Recorder, "_ensure_shipper", nobody)
    recorder = make(f"http://127.0.0.1:{dead_port}")
    posted: list[bytes] = []

    def post(body: bytes) -> Answer:
        """A slow pass: meanwhile the writer closes its segment, begins another one and is killed."""
        if not posted:
            recorder.close(0)
            child = os.fork()
            if child == 0:
                record(Recorder(recorder.settings, transport=Away), 7)
                os._exit(0)
            os.waitpid(child, 0)
        posted.append(body)
        return Answer(200)

    record(recorder, 3)
    shipper = Shipper(recorder.directory, post)
    assert shipper.acquire()
    shipper.run()
    shipper.release()
    assert list(recorder.directory.glob("*.seg")) == []
    assert len(posted) == 2


def test_a_forked_child_records_for_itself(make: Make, sink: Sink) -> None:
    recorder = make(sink.url)
    record(recorder, 3)
    child = os.fork()
    if child == 0:
        record(recorder, 4)
        os._exit(0 if recorder.counters().recorded == 4 else 1)
    assert os.waitpid(child, 0)[1] == 0
    record(recorder, 3)
    assert sink.wait_for(10) == 10
    assert recorder.flush()
    assert recorder.counters() == (6, 6, 0, {})


def test_closing_while_the_collector_hangs_takes_the_exit_time_at_most(make: Make, sink: Sink) -> None:
    sink.delay_s = 3
    recorder = make(sink.url, exit_timeout_s=0.5)
    record(recorder)
    started = time.monotonic()
    assert not recorder.close()
    assert time.monotonic() - started < 1


def test_an_unencodable_span_is_counted_and_breaks_nobody(make: Make, sink: Sink) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    recorder = make(sink.url)
    record(recorder, 1, attributes={"hostile": Hostile()})
    assert recorder.counters() == (1, 0, 0, {"unencodable": 1})


def test_counts_are_logged_only_when_something_was_dropped(
    make: Make, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    recorder = make(sink.url)
    record(recorder, 2)
    recorder.close(5)
    assert caplog.text == ""
