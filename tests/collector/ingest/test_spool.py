"""What the spool acknowledged comes out of it, after any crash, until it is done with."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_collector.ingest.spool import Record, Spool, SpoolFullError, SpoolLockedError
from spanledger_collector.ingest.spool.segment import read


def record(body: bytes, **given: object) -> Record:
    values: dict[str, object] = {"encoding": "", "items": 1, "trusted": False, **given}
    return Record("traces", "p", "t", "k", 5, body=body, **values)  # type: ignore[arg-type]


def opened(folder: Path, max_bytes: int = 1 << 20) -> Spool:
    return Spool(folder, max_bytes=max_bytes)


def shut(spool: Spool) -> None:
    spool.close()
    spool.release()


def bodies(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    while (segment := spool.take(0, 0)) is not None:
        found += [one.plain or one.body for one in segment.load()]
        spool.done(segment)
    return found


def test_records_come_out_in_order_and_once(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(10):
        spool.append(record(b"%d" % number)).result(5)
    assert bodies(spool) == [b"%d" % number for number in range(10)]
    assert (spool.depth_bytes, bodies(spool)) == (0, [])
    shut(spool)
    assert not list(tmp_path.glob("*.spool"))


def test_records_survive_a_restart_with_who_sent_them(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    sent = record(b"zipped", encoding="gzip", items=7, trusted=True, plain=b"inflated")
    spool.append(sent).result(5)
    shut(spool)
    again = opened(tmp_path)
    (segment,) = [again.take(0, 0)]
    assert segment is not None
    assert segment.load() == [sent]
    shut(again)


def test_record_is_on_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append(record(b"x" * 1000)).result(5)
    (path,) = tmp_path.glob("*.spool")
    assert [one.body for one in read(path)] == [b"x" * 1000]
    shut(spool)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), st.binary(max_size=20))
def test_torn_tail_costs_only_what_was_not_acknowledged(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = opened(folder)
    for number in range(3):
        spool.append(record(b"%d" % number * 50)).result(5)
    shut(spool)
    (path,) = folder.glob("*.spool")
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)] + junk)
    found = bodies(again := opened(folder))
    shut(again)
    assert found == [b"%d" % number * 50 for number in range(len(found))]
    assert len(found) >= 3 - (cut + 99) // 100


def test_waiting_requests_share_one_sync(tmp_path: Path) -> None:
    syncs: list[int] = []
    spool = opened(tmp_path)
    real = os.fdatasync
    try:
        os.fdatasync = lambda fd: (syncs.append(fd), time.sleep(0.05), real(fd))[0] or None  # type: ignore[assignment]
        futures = [spool.append(record(b"x")) for _ in range(40)]
        for future in futures:
            future.result(5)
    finally:
        os.fdatasync = real
    assert len(syncs) < 10
    shut(spool)


def test_full_spool_refuses_and_takes_again_when_drained(tmp_path: Path) -> None:
    spool = opened(tmp_path, max_bytes=1000)
    spool.append(record(b"x" * 600)).result(5)
    with pytest.raises(SpoolFullError, match="1000 bytes"):
        spool.append(record(b"y" * 600))
    assert bodies(spool) == [b"x" * 600]
    spool.append(record(b"y" * 600)).result(5)
    shut(spool)


def test_second_process_on_the_folder_is_refused(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(SpoolLockedError):
        opened(tmp_path)
    shut(spool)
    shut(opened(tmp_path))


def test_writer_waits_for_company_but_not_long(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    begun = time.monotonic()
    assert spool.take(0.3, 0.1) is None
    spool.append(record(b"1")).result(5)
    threading.Timer(0.1, lambda: spool.append(record(b"2"))).start()
    segment = spool.take(0.3, 5)
    assert segment is not None
    assert len(segment.load()) == 2
    assert time.monotonic() - begun < 3
    shut(spool)


def test_prepared_batch_of_a_forgotten_segment_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001.prepared").write_bytes(b"x")
    shut(opened(tmp_path))
    assert not list(tmp_path.glob("*.prepared"))


def test_closing_refuses_new_records_and_keeps_old_ones(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    future = spool.append(record(b"kept"))
    spool.close()
    future.result(0)
    with pytest.raises(SpoolFullError, match="stopping"):
        spool.append(record(b"late"))
    assert bodies(spool) == [b"kept"]
    spool.release()
