"""The doctor finds what keeps spans from arriving, and sends one that does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spanledger import doctor, settings
from spanledger.cli import main
from spanledger.doctor import Finding
from spanledger.recorder import Recorder
from tests.sdk.sink import Sink


def findings(**more: object) -> dict[str, Finding]:
    return {finding.check: finding for finding in doctor.examine(**more)}  # pyright: ignore[reportArgumentType]


def test_all_is_well(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", sink.url)
    found = findings()
    assert {name: finding.verdict for name, finding in found.items()} == dict.fromkeys(found, "ok")
    (span,) = sink.spans
    assert span.trace_id.hex() in found["test span"].message


def test_nobody_listens(
    dead_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", f"http://127.0.0.1:{dead_port}")
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "fail  collector" in told
    assert "spanledger up" in told


def test_the_key_is_refused(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", sink.url)
    sink.statuses = [401]
    found = findings(send_span=False)
    assert found["key"].verdict == "fail"
    assert "SPANLEDGER_KEY is not set" in found["key"].message


def test_the_clocks_differ(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("SPANLEDGER_ENDPOINT", sink.url)
    found = findings(send_span=False, clock=lambda: time.time() - 120)
    assert found["clock"].verdict == "warn"
    assert "120 s ahead of" in found["clock"].message or "119 s" in found["clock"].message


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_MODE", "fast")
    found = findings()
    assert list(found) == ["settings"]
    assert "SPANLEDGER_MODE='fast' is not allowed; use one of: journal, memory" in found["settings"].message


def test_what_waits_in_the_journal_is_told(dead_port: int, tmp_path: Path) -> None:
    here = settings.load({}, endpoint=f"http://127.0.0.1:{dead_port}", home=tmp_path, shipper="thread")
    other = here._replace(key="other")
    for each, count in ((here, 3), (other, 2)):
        recorder = Recorder(each)
        for _ in range(count):
            recorder.record("s", trace_id=b"t" * 16, span_id=os.urandom(8), start_time=1, end_time=2)
        recorder.close(0)
    told = [finding.message for finding in doctor.journal(here)]
    assert "3 spans wait" in told[0]
    assert "2 spans for another endpoint or key" in told[1]
