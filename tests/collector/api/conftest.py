"""The query API over a store of the test's own, and clients with keys of several kinds."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from spanledger.records import CallRecord, Event, Score
from spanledger_collector.api.app import build
from spanledger_collector.store.client import connect_reader
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.registry.keys import KeyDirectory, new_key
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.settings import StoreSettings
from tests.collector.rows import insert
from tests.servers import free_port
from tests.stores import Store

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


@dataclass(frozen=True)
class Ledger:
    """One test's corner of a store that many tests share: rows of project ``p`` stand in its own project."""

    store: Store
    app: FastAPI
    registry: Registry
    keys: KeyDirectory
    project: str

    def named(self, project: str) -> str:
        """The real name of ``p``, or of another project of this test."""
        return self.project if project == "p" else f"{self.project}-{project}"

    def insert(self, *rows: CallRecord | Score | Event) -> None:
        insert(self.store.client, *(replace(row, project=self.named(row.project)) for row in rows))

    def client(self, *scopes: str, project: str = "p") -> TestClient:
        """A client whose key stands in the project and has the scopes named."""
        key = new_key()
        draft = Draft(kind="key", name=key.id, document={"hash": key.hash, "scopes": list(scopes)})
        self.registry.put(self.named(project), draft, author="test")
        self.keys.refresh()
        headers = {"Authorization": f"Bearer {key.secret}"}
        return TestClient(self.app, headers=headers, raise_server_exceptions=False)


@pytest.fixture(scope="session")
def shared_ledger(clickhouse_url: str) -> Iterator[Ledger]:
    database = f"test_{uuid.uuid4().hex[:12]}"
    url = urlunsplit(urlsplit(clickhouse_url)._replace(path=f"/{database}"))
    store = Store(StoreSettings(clickhouse_url=url))
    migrate(store.settings)
    registry = Registry(store.client)
    keys = KeyDirectory(registry, bootstrap_key=BOOTSTRAP)
    client = connect_reader(store.settings)
    yield Ledger(store, build(client, registry, keys), registry, keys, "")
    client.close()
    store.client.command(f"DROP DATABASE {database}")
    store.client.close()


@pytest.fixture
def ledger(shared_ledger: Ledger) -> Ledger:
    return replace(shared_ledger, project=f"p{uuid.uuid4().hex[:12]}")


@pytest.fixture
def reader(ledger: Ledger) -> TestClient:
    return ledger.client("read")
