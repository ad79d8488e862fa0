"""Fixtures shared by every part: the real engine, a fresh store, a real broker, data of others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import Engine, start_engine, valkey
from tests.stores import Store, Stores

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A busy machine is slow, not wrong: no test fails by hypothesis's clock.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

TEST_CLICKHOUSE_URL = "SPANLEDGER_TEST_CLICKHOUSE_URL"
TEST_DATA = "SPANLEDGER_TEST_DATA"


# Real workers, judges, validators and browsers over minutes: proof that a change of these parts needs, and not each change.
LONG = (
    "collector/books/test_focus.py",
    "collector/finance/test_forecast.py",
    "collector/finance/test_gpu.py",
    "dashboards/test_cache_bound.py",
    "dashboards/test_finance.py",
    "dashboards/test_looks.py",
    "e2e/test_cache_bound.py",
    "e2e/test_experiments.py",
    "gateway/test_semantic_cache.py",
    "gateway/test_single_flight.py",
    "workers/test_cache_bound.py",
    "workers/test_caps.py",
    "workers/test_judging.py",
    "workers/test_lanes.py",
    "workers/test_loop.py",
    "workers/test_pools.py",
    "workers/test_regressions.py",
    "workers/test_repricing.py",
    "workers/test_ticks.py",
)


# Begun first, so that at the end no process has minutes left while the other has nothing.
FIRST = (
    "dashboards/test_pages.py",
    "workers/test_worker.py",
    "dashboards/test_safety.py",
    "dashboards/test_acting.py",
    "dashboards/test_oidc.py",
    "collector/api/test_finance.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the files in ``LONG``; those of ``FIRST`` come first."""
    here = Path(__file__).parent
    order = {name: place for place, name in enumerate(FIRST)}
    for item in items:
        if str(item.path.relative_to(here)) in LONG:
            item.add_marker("long")
    items.sort(key=lambda item: order.get(str(item.path.relative_to(here)), len(FIRST)))


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real engine process on a free port with a home of its own."""
    running = start_engine(tmp_path_factory.mktemp("engine"))
    yield running
    running.server.stop()


@pytest.fixture(scope="session")
def clickhouse_url(request: pytest.FixtureRequest) -> str:
    """URL of a ClickHouse server and its database ``default``; a real one where the environment names it."""
    given = os.environ.get(TEST_CLICKHOUSE_URL)
    if given:
        return given
    engine: Engine = request.getfixturevalue("engine")
    return f"{engine.url}/default"


@pytest.fixture(scope="session")
def stores(clickhouse_url: str) -> Stores:
    """The databases that tests of this session use in turn."""
    return Stores(clickhouse_url)


@pytest.fixture
def store(stores: Stores) -> Iterator[Store]:
    """An empty database with every migration applied."""
    made = stores.lend()
    yield made
    stores.take_back(made)


@pytest.fixture(scope="session")
def _broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("broker")) as url:
        yield url


@pytest.fixture
def redis_url(_broker_url: str) -> str:
    """A real Valkey server, empty at the start of each test."""
    import redis

    at = urlsplit(_broker_url)
    with redis.Redis(host=at.hostname or "", port=at.port or 0) as client:
        client.execute_command("FLUSHALL")  # pyright: ignore[reportUnknownMemberType]
    return _broker_url


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with other people's data (RAGTruth, a vLLM scrape); skips where it is absent."""
    root = Path(__file__).parent.parent
    given = os.environ.get(TEST_DATA)
    candidates = [Path(given)] if given else [root.parent / "shared/data", root.parent.parent / "shared/data"]
    for folder in candidates:
        if folder.is_dir():
            return folder
    pytest.skip(f"no test data: set {TEST_DATA} or put it at {candidates[0]}")


@pytest.fixture(scope="module")  # playwright keeps an event loop running: not beyond the module
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    from tests.browsing import CHROMIUM, chromium

    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with chromium() as started:
        yield started
