"""Engines of a test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Engine


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    """Engines to kill at the end, whatever the test did."""
    started: list[Engine] = []
    yield started
    for engine in started:
        engine.server.kill()
