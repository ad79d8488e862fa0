"""The command: bad settings end it at once, and it serves what it last knew when all else is away."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from spanledger.testing.model_server import ModelServer
from tests.gateway.collector import StandInCollector
from tests.gateway.conftest import plan, running
from tests.servers import command, free_port


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SPANLEDGER_GATEWAY_PORT", "seventy"),
        ("SPANLEDGER_REDIS_URL", "http://x"),
        ("SPANLEDGER_GATEWAY_WORKERS", "0"),
        ("SPANLEDGER_ENDPOINT", "collector:4318"),
    ],
)
def test_a_bad_setting_ends_the_process_and_names_itself(variable: str, value: str) -> None:
    done = subprocess.run(
        command("gateway"), env=os.environ | {variable: value}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert variable in done.stderr


def test_a_gateway_starts_and_serves_when_collector_and_redis_are_away(
    tmp_path: Path, primary: ModelServer
) -> None:
    collector = StandInCollector()
    collector.start()
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with running(tmp_path, collector, nowhere) as gateway:
        gateway.install(plan(primary))
        gateway.server.stop()
        collector.stop()
        gateway.server = gateway.start()
        ready = gateway.get("/readyz").json
        assert (ready["ready"], ready["source"]) == (True, "disk")
        first = gateway.chat()
        assert first.status == 200
        collector.start()
        assert len(gateway.spans(first, 2)) == 2
    collector.stop()
