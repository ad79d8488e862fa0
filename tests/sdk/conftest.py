from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.sink import Sink, serving


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test, and no test writes to the user's journal."""
    for name in list(os.environ):
        if name.startswith(("SPANLEDGER_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path / "home"))


@pytest.fixture
def sink() -> Iterator[Sink]:
    with serving(Sink()) as running:
        yield running


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that refuses, and that nobody else can take while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
