"""Several worker processes behind one port are one gateway: limits, budgets, counters and records are shared."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from spanledger.serving.snapshot import Budget, SnapshotKey
from spanledger.testing.model_server import ModelServer
from tests.gateway.collector import StandInCollector
from tests.gateway.conftest import KEY, RunningGateway, plan, running
from tests.gateway.test_budgets import PRICE, TEN

pytestmark = pytest.mark.broker


@pytest.fixture
def workers(tmp_path: Path, redis_url: str) -> Iterator[RunningGateway]:
    collector = StandInCollector()
    collector.start()
    patient = {"SPANLEDGER_GATEWAY_BUDGET_WAIT_S": "30"}  # as long as a busy machine takes to settle a call
    with running(tmp_path, collector, redis_url, SPANLEDGER_GATEWAY_WORKERS="2", **patient) as gateway:
        yield gateway
    collector.stop()


def everywhere(gateway: RunningGateway) -> None:
    """Wait until every worker serves the installed snapshot.

    One at a time, connections may all go to one worker; and another may still be starting. So many ask at once, until
    all were told the same for two seconds.
    """
    version, deadline = gateway.collector.snapshot.version, time.monotonic() + 30
    since = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        while time.monotonic() < since + 2:
            assert time.monotonic() < deadline
            told = [answer.json["snapshot"] for answer in pool.map(gateway.get, ["/readyz"] * 16)]
            if set(told) != {version}:
                since = time.monotonic()


def requests_counted(gateway: RunningGateway) -> float:
    lines = gateway.get("/metrics").body.decode().splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith("spanledger_gateway_requests_total")
    )


def test_workers_share_limits_budgets_counters_and_records(
    workers: RunningGateway, primary: ModelServer
) -> None:
    primary.set(answer=TEN)
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    key = SnapshotKey(id="test", hash=digest, project="shop", requests_per_minute=9)
    budgets = {"b": Budget(amount=Decimal(60))}
    workers.install(plan(primary, budgets=budgets, prices=(PRICE,)), (key,))
    everywhere(workers)
    with ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(workers.chat, f"Question {number}", max_tokens=10) for number in range(24)]
        answers = [one.result() for one in asked]
    told = Counter("" if answer.status == 200 else answer.json["error"]["code"] for answer in answers)
    # Nine may ask, one more for every seven seconds this takes, and there is money for six.
    assert told[""] == 6, told
    assert 3 <= told["budget_exceeded"] <= 9
    assert told["budget_exceeded"] + told["rate_limit_exceeded"] == 18, told
    deadline = time.monotonic() + 10
    while requests_counted(workers) < len(answers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for answer in answers:
        if answer.status == 200:
            assert len(workers.spans(answer, 2)) == 2
