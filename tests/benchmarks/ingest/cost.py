"""CPU of a span in the collector against the engine's write alone; the sustained rate; bytes on disk."""

from __future__ import annotations

import gzip
import http.client
import threading
import time
from collections.abc import Callable
from typing import cast

from isal import igzip

from tests.benchmarks.ingest.payload import Template, batch
from tests.benchmarks.ingest.stack import Stack, post
from tests.benchmarks.process import cpu_s
from tests.benchmarks.report import Figure, at_least, at_most

_REQUESTS, _ROUNDS = 100, 3
zipped = cast(Callable[[bytes], bytes], igzip.compress)  # pyright: ignore[reportUnknownMemberType]
"""As gzip.compress at a tenth of its cost: the sender is on the same cores and no part of what is measured."""


def cpu(stack: Stack) -> list[Figure]:
    """Rounds of ingest and of the engine's own write, one after the other; the median ratio."""
    assert stack.collector is not None
    assert stack.engine is not None
    collector, engine = stack.collector.process.pid, stack.engine.process.pid
    stack.client.command("CREATE TABLE IF NOT EXISTS write_only AS spans")
    requests = [gzip.compress(batch(number).body) for number in range(_REQUESTS)]
    _send_all(stack, requests[:10])
    stack.settle()
    ratios: list[tuple[float, float, float]] = []
    for turn in range(_ROUNDS):
        requests = [gzip.compress(batch(1000 * (turn + 1) + number).body) for number in range(_REQUESTS)]
        spans = _REQUESTS * 100
        before = (cpu_s(collector), cpu_s(engine))
        _send_all(stack, requests)
        stack.settle()
        mine, theirs = cpu_s(collector) - before[0], cpu_s(engine) - before[1]
        before_write = cpu_s(engine)
        stack.client.command(
            "INSERT INTO write_only SELECT * FROM spans ORDER BY inserted_at DESC LIMIT 10000",
            settings={"optimize_read_in_order": 0},
        )
        read = _null_cost(stack, engine)
        write = (cpu_s(engine) - before_write - read) / 10_000
        ratios.append((mine / spans * 1e6, theirs / spans * 1e6, write * 1e6))
    ratios.sort(key=lambda one: one[0] / one[2])
    mine, theirs, write = ratios[len(ratios) // 2]
    return [
        Figure("collector CPU per 4.5 KB span", f"{mine:.1f} us"),
        Figure("engine CPU per span (insert, views, look-ups)", f"{theirs:.1f} us"),
        Figure("engine's write alone, per span", f"{write:.1f} us"),
        at_most("collector / write alone", mine / write, 4),
        Figure("collector and engine / write alone", f"{(mine + theirs) / write:.2f}"),
    ]


def _null_cost(stack: Stack, engine: int) -> float:
    """CPU seconds of reading what was written, which is no part of writing it."""
    before = cpu_s(engine)
    stack.client.command(
        "INSERT INTO FUNCTION null() SELECT * FROM spans ORDER BY inserted_at DESC LIMIT 10000"
    )
    return cpu_s(engine) - before


def _send_all(stack: Stack, requests: list[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    for content in requests:
        assert post(connection, content) == 200
    connection.close()


def rate(stack: Stack, per_s: float, seconds: float) -> list[Figure]:
    """Offer ``per_s`` spans a second; what was acknowledged, and how long until it could be queried."""
    requests_per_s = per_s / 100
    done = [0]
    ready = threading.Barrier(2)

    def work(worker: int, workers: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
        templates = [Template(10**6 * (worker + 1) + n) for n in range(4)]
        ready.wait()
        begun = time.monotonic()
        number = 0
        while (now := time.monotonic() - begun) < seconds:
            content = zipped(templates[number % 4].fresh())
            if post(connection, content) == 200:
                done[0] += 100
            number += 1
            time.sleep(max(0, number * workers / requests_per_s - now))

    stack.settle()
    before = stack.rows("SELECT now64(9) AS t")[0]["t"]
    threads = [threading.Thread(target=work, args=(n, 2)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stack.settle()
    (row,) = stack.client.query(
        "SELECT quantile(0.99)(dateDiff('millisecond', addNanoseconds(start_time, duration_ns), inserted_at))"
        " AS p99, count() AS n FROM spans WHERE inserted_at > {t:DateTime64(9)}",
        {"t": before},
    ).named_results()
    return [
        at_least("sustained spans/s (sender on the same cores)", done[0] / seconds, per_s, digits=0),
        at_most("99 % visible after", float(row["p99"]) / 1000, 5, " s"),
        Figure(
            "spans stored of those acknowledged", f"{row['n']} of {done[0]}", "equal", row["n"] == done[0]
        ),
    ]


def disk(stack: Stack) -> list[Figure]:
    """Bytes of a span after merge, against the same rows as JSON."""
    stack.client.command("OPTIMIZE TABLE spans FINAL")
    (size,) = stack.rows(
        "SELECT sum(bytes_on_disk) / sum(rows) AS bytes FROM system.parts"
        " WHERE active AND database = currentDatabase() AND table = 'spans'"
    )
    sample = stack.client.raw_query("SELECT * FROM spans LIMIT 2000", fmt="JSONEachRow")
    json_bytes = len(sample) / 2000
    return [
        Figure("bytes of a span on disk", f"{size['bytes']:.0f}"),
        at_least("JSON / disk", json_bytes / float(size["bytes"]), 6),
    ]
