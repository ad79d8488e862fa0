"""A key is known within two seconds, refused within two seconds, and never stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spanledger_collector.store.client import connect
from spanledger_collector.store.registry.errors import DocumentError
from spanledger_collector.store.registry.keys import Key, KeyDirectory, KeysUnavailableError, new_key
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.settings import StoreSettings
from tests.servers import answers, command, free_port, spawn
from tests.stores import Store

BOOTSTRAP = "sl_bootstrap_0123456789"


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store.client)


@pytest.fixture
def directory(registry: Registry) -> Iterator[KeyDirectory]:
    made = KeyDirectory(registry, bootstrap_key=BOOTSTRAP)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Registry]:
    """A registry whose engine was there when its client was made and is gone now."""
    port = free_port()
    env = {
        "SPANLEDGER_HOME": str(tmp_path),
        "SPANLEDGER_ENGINE_PORT": str(port),
        "SPANLEDGER_ENGINE_TOKEN": "",
    }
    url = f"http://127.0.0.1:{port}"
    with spawn(command("engine"), tmp_path / "engine.log", answers(f"{url}/ping"), env):
        client = connect(StoreSettings(clickhouse_url=f"{url}/default"), connect_timeout=1)
    yield Registry(client)
    client.close()


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.clickhouse
def test_a_key_works_and_stops_working_within_two_seconds(
    registry: Registry, directory: KeyDirectory
) -> None:
    key = new_key()
    document = {"hash": key.hash, "team": "search", "scopes": ["ingest"]}
    assert directory.lookup(key.secret) is None
    registry.put("p", Draft(kind="key", name=key.id, document=document), author="t")
    assert within(2, lambda: directory.lookup(key.secret) is not None)
    assert directory.lookup(key.secret) == Key(id=key.id, project="p", team="search", scopes=("ingest",))
    registry.put("p", Draft(kind="key", name=key.id, document={**document, "revoked": True}), author="t")
    assert within(2, lambda: directory.lookup(key.secret) is None)


@pytest.mark.clickhouse
def test_a_deleted_key_stops_working(registry: Registry, directory: KeyDirectory) -> None:
    key = new_key()
    registry.put("p", Draft(kind="key", name=key.id, document={"hash": key.hash, "scopes": ["read"]}), "t")
    assert within(2, lambda: directory.lookup(key.secret) is not None)
    registry.delete("p", "key", key.id, author="t")
    assert within(2, lambda: directory.lookup(key.secret) is None)


@pytest.mark.clickhouse
def test_the_bootstrap_key_is_an_operator_of_the_default_project_and_is_stored_hashed(
    registry: Registry, directory: KeyDirectory
) -> None:
    key = directory.lookup(BOOTSTRAP)
    assert key == Key(
        id="bootstrap", project="default", scopes=("admin", "gateway", "ingest", "read"), operator=True
    )
    stored = registry.get("*", "key", "bootstrap")
    assert BOOTSTRAP not in str(stored)
    again = KeyDirectory(registry, bootstrap_key=BOOTSTRAP)
    assert again.refresh()
    assert len(registry.history("*", "key", "bootstrap")) == 1


@pytest.mark.clickhouse
def test_a_key_of_one_project_cannot_be_made_to_act_for_another(registry: Registry) -> None:
    document = {"hash": new_key().hash, "project": "victim", "scopes": ["read"]}
    with pytest.raises(DocumentError, match="a key of project 'mine' cannot act for project 'victim'"):
        registry.put("mine", Draft(kind="key", name="k", document=document), author="eve")


@pytest.mark.clickhouse
def test_a_restart_without_the_engine_answers_from_the_copy(
    registry: Registry, lost: Registry, tmp_path: Path
) -> None:
    copy = tmp_path / "collector" / "keys.json"
    KeyDirectory(registry, bootstrap_key=BOOTSTRAP, copy=copy).refresh()
    away = KeyDirectory(lost, copy=copy)
    away.start()
    try:
        found = away.lookup(BOOTSTRAP)
        assert found is not None
        assert found.operator
        assert away.lookup("sl_other") is None
    finally:
        away.stop()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert BOOTSTRAP not in copy.read_text()


@pytest.mark.clickhouse
def test_before_any_key_was_read_nobody_is_refused_for_good(lost: Registry) -> None:
    away = KeyDirectory(lost)
    assert not away.refresh()
    with pytest.raises(KeysUnavailableError):
        away.lookup(BOOTSTRAP)
