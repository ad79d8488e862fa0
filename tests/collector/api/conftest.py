"""The query API over a store of the test's own, and clients with keys of several kinds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from spanledger_collector.api.app import build
from spanledger_collector.store.client import connect_reader
from spanledger_collector.store.registry.keys import KeyDirectory, new_key
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from tests.conftest import Store
from tests.servers import free_port

BOOTSTRAP = "sl_bootstrap_0123456789"


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store.client)


@pytest.fixture
def keys(registry: Registry) -> KeyDirectory:
    directory = KeyDirectory(registry, bootstrap_key=BOOTSTRAP)
    assert directory.refresh()
    return directory


@pytest.fixture
def app(store: Store, registry: Registry, keys: KeyDirectory) -> Iterator[FastAPI]:
    client = connect_reader(store.settings)
    yield build(client, registry, keys)
    client.close()


ClientFor = Callable[..., TestClient]


@pytest.fixture
def client_for(app: FastAPI, registry: Registry, keys: KeyDirectory) -> ClientFor:
    """A client whose key belongs to a project and has the scopes named."""

    def make(project: str, *scopes: str) -> TestClient:
        key = new_key()
        document = {"hash": key.hash, "scopes": list(scopes)}
        registry.put(project, Draft(kind="key", name=key.id, document=document), author="test")
        keys.refresh()
        return TestClient(
            app, headers={"Authorization": f"Bearer {key.secret}"}, raise_server_exceptions=False
        )

    return make


@pytest.fixture
def operator(app: FastAPI) -> TestClient:
    return TestClient(app, headers={"Authorization": f"Bearer {BOOTSTRAP}"}, raise_server_exceptions=False)


@pytest.fixture
def served(app: FastAPI, keys: KeyDirectory) -> Iterator[str]:
    """The API on a real port; keys are looked up fresh, as in a running collector."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    keys.start()
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
    keys.stop()


@pytest.fixture
def nobody(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)
