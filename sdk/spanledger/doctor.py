"""``spanledger doctor``: what may keep spans from arriving: settings, collector, key, clock, journal; and a test span.

usage: spanledger doctor [--json] [--no-span]
"""

from __future__ import annotations

import argparse
import email.utils
import http.client
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from spanledger import collector_client, ids, settings
from spanledger.collector_client import CollectorAwayError
from spanledger.journal import writer
from spanledger.proxies import proxy_for, target_of
from spanledger.recorder import Recorder
from spanledger.settings import Settings, SettingsError

Verdict = Literal["ok", "warn", "fail"]
MAX_SKEW_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, how it is, and what to do."""

    check: str
    verdict: Verdict
    message: str


def command(argv: list[str]) -> int:
    """Check and print; 0 when nothing failed, 1 when something did."""
    parser = argparse.ArgumentParser("spanledger doctor", description="Find out why spans do not arrive.")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--no-span", action="store_true", help="do not send a test span")
    options = parser.parse_args(argv)
    findings = list(examine(send_span=not options.no_span))
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.verdict:>4}  {finding.check:<9}  {finding.message}")
    return int(any(finding.verdict == "fail" for finding in findings))


def examine(*, send_span: bool = True, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """All findings, in the order in which one depends on the other."""
    try:
        given = settings.load()
    except SettingsError as error:
        yield Finding("settings", "fail", str(error))
        return
    yield _settings(given)
    yield from journal(given)
    reachable = False
    for finding in _collector(given, clock):
        reachable = reachable or finding.check == "clock"
        yield finding
    if reachable and send_span:
        yield _test_span(given)


def _settings(given: Settings) -> Finding:
    if not given.enabled:
        return Finding("settings", "warn", "tracing is off: SPANLEDGER_ENABLED is false")
    where = "" if given.endpoint_given else " (the default; set SPANLEDGER_ENDPOINT)"
    named = f"project {given.project!r}" + (f", team {given.team!r}" if given.team else "")
    return Finding("settings", "ok", f"{named}, collector {given.endpoint}{where}, mode {given.mode}")


def journal(given: Settings) -> Iterator[Finding]:
    """Whether the journal can be written, is private, and what waits in it."""
    if given.mode == "memory":
        yield Finding("journal", "ok", f"not used: spans are kept in at most {given.memory_mb} MB of memory")
        return
    folder = writer.destination(given)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f"doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        fallback = f"spans are kept in memory, at most {given.memory_mb} MB"
        yield Finding("journal", "fail", f"{folder} cannot be written ({error.strerror}): {fallback}")
        return
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        yield Finding("journal", "warn", f"{folder} can be read by others; run: chmod 700 {folder}")
    waiting, size = writer.waiting(folder)
    yield Finding("journal", "ok", f"{folder}: {waiting} spans wait, {size / 1e6:.1f} MB")
    yield from _other_destinations(given, folder)


def _other_destinations(given: Settings, folder: Path) -> Iterator[Finding]:
    for other in sorted(given.journal_dir.iterdir()):
        if other != folder and other.is_dir():
            waiting, _ = writer.waiting(other)
            if waiting:
                advice = "start a process with the endpoint and key they were recorded for"
                yield Finding(
                    "journal", "warn", f"{other}: {waiting} spans for another endpoint or key; {advice}"
                )


def _collector(given: Settings, clock: Callable[[], float]) -> Iterator[Finding]:
    connection, prefix, extra = collector_client.connect(given, 5)
    proxy = proxy_for(target_of(given.endpoint))
    through = f" through the proxy {proxy.authority}" if proxy else ""
    try:
        before = clock()
        connection.request("GET", prefix + "/readyz", headers=extra)
        answer = connection.getresponse()
        answer.read(1 << 20)
        after = clock()
    except (OSError, http.client.HTTPException) as error:
        advice = "start it (spanledger up, spanledger collector) or set SPANLEDGER_ENDPOINT"
        yield Finding("collector", "fail", f"no answer from {given.endpoint}{through} ({error}); {advice}")
        return
    finally:
        connection.close()
    if answer.status == 200:
        yield Finding(
            "collector", "ok", f"{given.endpoint} is ready{through} ({(after - before) * 1e3:.0f} ms)"
        )
    elif answer.status == 503:
        yield Finding("collector", "fail", f"{given.endpoint} is up but not ready: it cannot store spans now")
    else:
        yield Finding(
            "collector", "warn", f"{given.endpoint}/readyz answered {answer.status}; is it a collector?"
        )
    yield from _key(given)
    yield _skew(answer.headers.get("date", ""), before, after)


def _key(given: Settings) -> Iterator[Finding]:
    try:
        # An empty request is valid OTLP and stores nothing; only the key decides the answer.
        status, _ = collector_client.request(
            given, "POST", "/v1/traces", b"", content_type="application/x-protobuf"
        )
    except CollectorAwayError as error:
        yield Finding("key", "fail", str(error))
        return
    if status in (401, 403):
        told = "is refused: it is unknown, revoked or lacks the scope 'ingest'" if given.key else "is not set"
        yield Finding("key", "fail", f"SPANLEDGER_KEY {told} (status {status})")
    elif 200 <= status < 300:
        yield Finding("key", "ok", "the collector takes spans with this key")
    else:
        yield Finding("key", "warn", f"the collector answered {status} to an empty request")


def _skew(header: str, before: float, after: float) -> Finding:
    """The collector's clock against ours; its ``Date`` header tells whole seconds."""
    try:
        theirs = email.utils.parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return Finding("clock", "warn", "the collector does not tell its time")
    skew = 0.0 if before - 1 <= theirs <= after else theirs + 0.5 - (before + after) / 2
    if abs(skew) > MAX_SKEW_S:
        ahead = "ahead of" if skew > 0 else "behind"
        return Finding("clock", "warn", f"the collector's clock is {abs(skew):.0f} s {ahead} this machine's")
    return Finding("clock", "ok", "this machine and the collector agree on the time")


def _test_span(given: Settings) -> Finding:
    recorder = Recorder(given._replace(mode="memory", ship_interval_s=0.05))
    trace_id, now = ids.new_trace_id(), time.time_ns()
    recorder.record(
        "spanledger doctor",
        trace_id=trace_id,
        span_id=ids.new_span_id(),
        start_time=now,
        end_time=now + 1_000_000,
        attributes={"spanledger.purpose": "probe"},
    )
    arrived = recorder.flush(10)
    recorder.close(0)
    if not arrived or recorder.counters().shipped != 1:
        return Finding("test span", "fail", f"it was not taken: {recorder.counters()}")
    url = f"{given.endpoint.rstrip('/')}/api/traces/{trace_id.hex()}"
    return Finding("test span", "ok", f"trace {trace_id.hex()} was taken; see {url}")


if __name__ == "__main__":
    raise SystemExit(command(sys.argv[1:]))
