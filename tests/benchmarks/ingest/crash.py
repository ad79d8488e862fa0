"""Kill -9 at random moments, and a store that is away: what was acknowledged is there, once."""

from __future__ import annotations

import random
import time

from tests.benchmarks.ingest.payload import Batch, batch
from tests.benchmarks.ingest.stack import Sender, Stack
from tests.benchmarks.report import Figure


def small(number: int) -> Batch:
    """A request of 20 spans."""
    return batch(number, spans=20)


def kills(stack: Stack, count: int, seed: int = 1) -> list[Figure]:
    """Kill the collector or the engine ``count`` times under load, let each come back, then compare."""
    dice = random.Random(seed)
    senders = [Sender(stack, small, 10**7 * (n + 1), per_s=15) for n in range(2)]
    for sender in senders:
        sender.start()
    for number in range(count):
        time.sleep(dice.uniform(0.05, 1.5))
        victim = dice.choice(["collector", "engine", "both"])
        if victim != "engine":
            assert stack.collector is not None
            stack.collector.kill()
        if victim != "collector":
            assert stack.engine is not None
            stack.engine.kill()
            stack.start_engine()
        if victim != "engine":
            stack.start_collector()
        print(f"kill {number + 1} of {count}: {victim}", flush=True)
    for sender in senders:
        sender.stop()
    return compared(stack, senders, f"{count} kills")


def outage(stack: Stack, seconds: float) -> list[Figure]:
    """Take the store away under load for a while."""
    sender = Sender(stack, small, 9 * 10**7, per_s=20)
    sender.start()
    time.sleep(2)
    assert stack.engine is not None
    stack.engine.kill()
    time.sleep(seconds)
    held = stack.metric("spanledger_ingest_spool_bytes")
    stack.start_engine()
    begun = time.monotonic()
    while (
        stack.metric("spanledger_ingest_spool_bytes") > held / 20
    ):  # the sender goes on, so it is never empty
        if time.monotonic() - begun > 300:
            raise TimeoutError("the backlog does not drain")
        time.sleep(0.1)
    sender.stop()
    drained = Figure("backlog drained", f"{held / 1e6:.1f} MB in {time.monotonic() - begun:.1f} s")
    return [drained, *compared(stack, [sender], f"store away for {seconds:g} s")]


def compared(stack: Stack, senders: list[Sender], what: str) -> list[Figure]:
    """Acknowledged spans against rows, and rollups against rows."""
    stack.settle()
    sent = {key for sender in senders for made in sender.acknowledged for key in made.keys}
    rows = stack.client.query(
        "SELECT trace_id, span_id, count() FROM spans GROUP BY trace_id, span_id"
    ).result_rows
    stored = {(trace, span) for trace, span, _ in rows}
    doubled = sum(count - 1 for _, _, count in rows)
    lost = len(sent - stored)
    table = stack.rows("SELECT countIf(billable) AS calls, sum(cost_total) AS cost FROM spans")[0]
    rollups = [
        stack.rows(f"SELECT sum(calls) AS calls, sum(cost) AS cost FROM {name}")[0]  # noqa: S608 - our own names
        for name in ("cost_hour", "cost_day")
    ]
    counted = [
        stack.rows(f"SELECT sumIf({name}.calls, billable) AS calls FROM {name}")[0]["calls"]  # noqa: S608 - our own names
        for name in ("call_hour", "call_day")
    ]
    return [
        Figure(f"{what}: acknowledged spans lost", f"{lost} of {len(sent)}", "0", lost == 0),
        Figure(f"{what}: spans doubled", str(doubled), "0", doubled == 0),
        Figure(
            f"{what}: rollups equal to the table",
            str(rollups[0]),
            str(table),
            all(r == table for r in rollups) and all(calls == table["calls"] for calls in counted),
        ),
    ]
