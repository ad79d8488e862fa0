"""A pytest plugin that fences the engine, the broker and the browser behind markers.

A test without the marker that asks for the fixture fails, so ``-m 'not clickhouse'`` is honest.
"""

from __future__ import annotations

import pytest

FENCED = {
    "engine": "clickhouse",
    "clickhouse_url": "clickhouse",
    "store": "clickhouse",
    "redis_url": "broker",
    "browser": "browser",
    "stack": "e2e",
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test that uses a fenced fixture without the fixture's marker."""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    for fixture, marker in FENCED.items():
        if fixture in fixtures and item.get_closest_marker(marker) is None:
            pytest.fail(f"uses fixture {fixture!r}: mark it with @pytest.mark.{marker}", pytrace=False)
