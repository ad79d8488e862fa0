"""The registry over HTTP: versions, conflicts, scopes and the snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsPartialDict
from fastapi import FastAPI
from starlette.testclient import TestClient

from spanledger_collector.api.app import build
from spanledger_collector.store.client import connect_reader
from spanledger_collector.store.registry.keys import KeyDirectory
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.settings import StoreSettings
from tests.servers import start_engine

from .conftest import BOOTSTRAP, ClientFor

pytestmark = pytest.mark.clickhouse

OPENAI: dict[str, Any] = {"base_url": "https://api.openai.com/v1", "key_env": "OPENAI_API_KEY"}


def test_a_document_is_put_read_changed_diffed_rolled_back_and_deleted(operator: TestClient) -> None:
    path = "/api/registry/upstream/openai"
    assert operator.put(path, json={"document": OPENAI, "note": "new"}).json()["version"] == 1
    faster = {**OPENAI, "timeout_s": 5}
    assert operator.put(path, json={"document": faster, "base_version": 1}).json()["version"] == 2
    assert operator.get(path).json() == IsPartialDict(document=faster, author="bootstrap", project="default")
    assert operator.get(path, params={"version": 1}).json()["note"] == "new"
    assert operator.get(f"{path}/diff", params={"before": 1}).json() == [
        {"path": "timeout_s", "before": None, "after": 5}
    ]
    assert operator.post(f"{path}/rollback", json={"version": 1}).json()["document"] == OPENAI
    assert [row["version"] for row in operator.get(f"{path}/history").json()] == [3, 2, 1]
    assert operator.delete(path).json()["deleted"] is True
    assert operator.get(path).status_code == 404


def test_a_name_may_hold_slashes(operator: TestClient) -> None:
    operator.put("/api/registry/upstream/openai", json={"document": OPENAI})
    route = {"targets": [{"upstream": "openai", "model": "m"}]}
    path = "/api/registry/route/meta-llama%2FLlama-3.1-8B"
    assert operator.put(path, json={"document": route}).status_code == 200
    assert operator.get(path).json()["name"] == "meta-llama/Llama-3.1-8B"
    assert len(operator.get(f"{path}/history").json()) == 1


def test_a_stale_base_version_is_a_conflict(operator: TestClient) -> None:
    path = "/api/registry/upstream/openai"
    operator.put(path, json={"document": OPENAI})
    answer = operator.put(path, json={"document": {**OPENAI, "timeout_s": 5}, "base_version": 0})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("upstream 'openai' is at version 1, not 0")


def test_invalid_documents_are_refused_with_every_place(operator: TestClient) -> None:
    documents: list[dict[str, Any]] = [
        {"kind": "upstream", "name": "x", "document": {"base_url": "ftp://x", "key_env": "sk-secret"}},
        {"kind": "rout", "name": "y", "document": {}},
    ]
    answer = operator.post("/api/registry/apply", json={"documents": documents})
    assert answer.status_code == 422
    found = {(entry["kind"], entry["path"]) for entry in answer.json()["errors"]}
    assert found == {("upstream", "base_url"), ("upstream", "key_env"), ("rout", "")}
    assert "sk-secret" not in answer.text


def test_a_dry_run_says_what_would_change_and_writes_nothing(operator: TestClient) -> None:
    body = {"documents": [{"kind": "upstream", "name": "openai", "document": OPENAI}]}
    answer = operator.post("/api/registry/apply", params={"dry_run": True}, json=body).json()
    assert [(change["action"], change["version"]) for change in answer] == [("create", 1)]
    assert operator.get("/api/registry/upstream").json() == []
    assert operator.post("/api/registry/apply", json=body).json()[0]["action"] == "create"
    assert operator.post("/api/registry/apply", json=body).json()[0]["action"] == "none"


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("GET", "/api/registry/upstream", "read"),
        ("PUT", "/api/registry/upstream/x", "admin"),
        ("DELETE", "/api/registry/upstream/x", "admin"),
        ("POST", "/api/registry/apply", "admin"),
        ("GET", "/api/registry/snapshot", "gateway"),
        ("GET", "/api/calls", "read"),
        ("GET", "/api/costs", "read"),
        ("GET", "/api/scores", "read"),
        ("GET", "/api/events", "read"),
    ],
)
def test_each_path_asks_for_its_scope(
    client_for: ClientFor, nobody: TestClient, method: str, path: str, needs: str
) -> None:
    without = {"ingest", "read", "gateway", "admin"} - {needs} - ({"admin"} if needs == "read" else set())
    assert nobody.request(method, path).status_code == 401
    refused = client_for("p", *without).request(method, path, json={"document": {}, "documents": []})
    assert refused.status_code == 403
    assert f"lacks scope '{needs}'" in refused.json()["detail"]
    assert client_for("p", needs).request(
        method, path, json={"document": {}, "documents": []}
    ).status_code not in (
        401,
        403,
        500,
    )


def test_only_an_operator_may_name_a_project(client_for: ClientFor, operator: TestClient) -> None:
    mine = client_for("mine", "read", "admin")
    assert mine.get("/api/registry/upstream", params={"project": "mine"}).status_code == 200
    for project in ("other", "*"):
        assert mine.get("/api/registry/upstream", params={"project": project}).status_code == 403
        put = mine.put("/api/registry/upstream/x", params={"project": project}, json={"document": OPENAI})
        assert put.status_code == 403
    shared = operator.put("/api/registry/upstream/shared", params={"project": "*"}, json={"document": OPENAI})
    assert shared.status_code == 200
    assert [row["name"] for row in mine.get("/api/registry/upstream").json()] == ["shared"]
    assert operator.get("/api/calls", params={"project": "*"}).status_code == 422


def test_the_snapshot_is_sent_again_only_when_it_changed(operator: TestClient) -> None:
    first = operator.get("/api/registry/snapshot")
    assert first.json()["version"] == first.headers["etag"].strip('"')
    known = {"If-None-Match": first.headers["etag"]}
    assert operator.get("/api/registry/snapshot", headers=known).status_code == 304
    operator.put("/api/registry/upstream/openai", json={"document": OPENAI})
    second = operator.get("/api/registry/snapshot", headers=known)
    assert second.status_code == 200
    assert list(second.json()["projects"]["default"]["upstreams"]) == ["openai"]


def test_a_snapshot_shows_a_project_nothing_of_others(client_for: ClientFor, operator: TestClient) -> None:
    client_for("other", "gateway")
    mine = client_for("mine", "gateway").get("/api/registry/snapshot").json()
    assert {key["project"] for key in mine["keys"]} == {"mine"}
    whole = operator.get("/api/registry/snapshot").json()
    assert {key["project"] for key in whole["keys"]} == {"mine", "other", "default"}


def test_an_unknown_path_or_kind_is_a_problem(operator: TestClient, nobody: TestClient) -> None:
    for answer, status in (
        (operator.get("/api/nothing"), 404),
        (operator.get("/api/registry/nothing"), 422),
        (operator.post("/api/calls"), 405),
        (nobody.get("/api/calls"), 401),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_an_application_may_read_its_prompts_with_its_ingest_key_and_nothing_else(
    client_for: ClientFor,
) -> None:
    admin, app = client_for("p", "admin"), client_for("p", "ingest")
    document = {"template": "Hi {{name}}", "labels": {"production": 1}}
    assert admin.put("/api/registry/prompt/greet", json={"document": document}).status_code == 200
    assert app.get("/api/registry/prompt/greet").json()["document"] == document
    assert len(app.get("/api/registry/prompt/greet/history").json()) == 1
    assert app.get("/api/registry/upstream/x").status_code == 403
    assert app.get("/api/registry").status_code == 403
    assert app.put("/api/registry/prompt/greet", json={"document": document}).status_code == 403


def test_a_store_that_is_away_is_a_503_that_says_when_to_try_again(
    app: FastAPI, keys: KeyDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = start_engine(tmp_path)
    client = connect_reader(StoreSettings(clickhouse_url=f"{engine.url}/default"))
    engine.server.stop()
    away = TestClient(
        build(client, Registry(client), keys),
        headers={"Authorization": f"Bearer {BOOTSTRAP}"},
        raise_server_exceptions=False,
    )
    for path in ("/api/calls?text=secret", "/api/registry/snapshot", "/api/export/calls"):
        answer = away.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    client.close()
    assert "secret" not in caplog.text
    del app
