"""One product for all end-to-end tests, and a stand-in model server for it to call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spanledger.testing.model_server import ModelServer
from tests.e2e.stack import Stack, running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`spanledger up`, started once; tests tell their calls apart by their own routes and teams."""
    with running(tmp_path_factory.mktemp("stack") / "home") as started:
        yield started


@pytest.fixture
def primary() -> Iterator[ModelServer]:
    """A provider that speaks OpenAI's API."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def backup() -> Iterator[ModelServer]:
    """An engine that speaks vLLM's."""
    with ModelServer(flavour="vllm") as server:
        yield server
