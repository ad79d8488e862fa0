"""Nothing is shown to who is not signed in; unknown paths are unknown; a session ends with its key."""

from __future__ import annotations

import csv
import io
import json
import time

import pytest

from spanledger_collector.store.registry.keys import hash_key
from spanledger_collector.store.registry.plan import Draft
from tests.dashboards.conftest import INGEST, READERS, Dashboard

pytestmark = pytest.mark.clickhouse

CALLBACK = json.dumps({
    "output": "calls-grid.getRowsResponse", "outputs": {"id": "calls-grid", "property": "getRowsResponse"},
    "inputs": [{"id": "calls-grid", "property": "getRowsRequest", "value": {"startRow": 0, "endRow": 10}}],
    "state": [{"id": "_pages_location", "property": "search", "value": ""}], "changedPropIds": ["calls-grid.getRowsRequest"],
})  # fmt: skip


def rows(dashboard: Dashboard, cookie: str, search: str = "") -> tuple[int, str]:
    body = json.loads(CALLBACK)
    body["state"][0]["value"] = search
    headers = {"content-type": "application/json"}
    answer = dashboard.get("/_dash-update-component", cookie, "POST", headers, json.dumps(body))
    return answer.status, answer.body


def test_health_is_open(dashboard: Dashboard) -> None:
    assert dashboard.get("/healthz").status == 200


@pytest.mark.parametrize("path", ["/", "/calls", "/spend?range=7d", "/traces/" + "0" * 32])
def test_a_page_without_a_session_leads_to_the_sign_in_and_back(dashboard: Dashboard, path: str) -> None:
    answer = dashboard.get(path)
    assert answer.status == 303
    assert answer.headers["location"].startswith("/signin?next=/")


@pytest.mark.parametrize("path", ["/_dash-layout", "/_dash-dependencies"])
def test_what_pages_are_made_of_needs_a_session(dashboard: Dashboard, path: str) -> None:
    assert dashboard.get(path).status == 401
    assert dashboard.get(path, dashboard.cookie(READERS["default"])).status == 200


def test_a_callback_and_an_export_need_a_session(dashboard: Dashboard) -> None:
    status, body = rows(dashboard, "")
    assert (status, "rowData" in body) == (401, False)
    assert dashboard.get("/export/calls.csv").status == 401
    status, body = rows(dashboard, dashboard.cookie(READERS["default"]))
    assert status == 200
    assert len(json.loads(body)["response"]["calls-grid"]["getRowsResponse"]["rowData"]) == 10


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nope",
        "/nope",
        "/api/calls",
        "/calls/x/y",
        "/docs",
        "/openapi.json",
        "/export/nope.csv",
        "/_dash-mcp",
    ],
)
def test_an_unknown_path_is_404_with_and_without_a_session(dashboard: Dashboard, path: str) -> None:
    assert dashboard.get(path).status == 404
    assert dashboard.get(path, dashboard.cookie(READERS["default"])).status == 404
    assert dashboard.get(path, method="POST").status == 404


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(dashboard: Dashboard) -> None:
    answer = dashboard.get(f"/spend?key={READERS['default']}&range=7d")
    assert (answer.status, answer.headers["location"]) == (303, "/spend?range=7d")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert READERS["default"] not in answer.headers["set-cookie"]


@pytest.mark.parametrize("key", ["sl_x_unknown", INGEST, "", "\u2603"])
def test_a_key_that_may_not_read_opens_nothing(dashboard: Dashboard, key: str) -> None:
    from urllib.parse import quote

    answer = dashboard.get(f"/?key={quote(key)}")
    assert "set-cookie" not in answer.headers
    assert answer.status in (303, 401)


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "/%0d%0aset-cookie:x=1"]
)
def test_a_sign_in_never_leads_to_another_site(dashboard: Dashboard, target: str) -> None:
    answer = dashboard.get(f"/signin?next={target}", method="GET")
    assert "evil" not in answer.body


def test_a_forged_or_changed_cookie_opens_nothing(dashboard: Dashboard) -> None:
    cookie = dashboard.cookie(READERS["default"])
    assert dashboard.get("/", cookie).status == 200
    assert dashboard.get("/", cookie[:-3] + "abc").status == 303
    assert dashboard.get("/", "spanledger_session=W10.x.y").status == 303


def test_a_revoked_key_ends_its_sessions_within_two_seconds(dashboard: Dashboard) -> None:
    key = "sl_brief_0123456789abcdef"
    document = {"hash": hash_key(key), "project": "default", "scopes": ["read"]}
    dashboard.registry.put("default", Draft(kind="key", name="brief", document=document), author="test")
    time.sleep(2.2)
    cookie = dashboard.cookie(key)
    assert dashboard.get("/", cookie).status == 200
    revoked = Draft(kind="key", name="brief", document={**document, "revoked": True})
    dashboard.registry.put("default", revoked, author="test")
    time.sleep(2.2)
    assert dashboard.get("/", cookie).status == 303


def test_a_post_from_another_site_is_refused(dashboard: Dashboard) -> None:
    cookie = dashboard.cookie(READERS["default"])
    answer = dashboard.get("/_dash-update-component", cookie, "POST", {"origin": "https://evil.example"})
    assert answer.status == 403


def test_the_policy_allows_no_script_from_data(dashboard: Dashboard) -> None:
    policy = dashboard.get("/", dashboard.cookie(READERS["default"])).headers["content-security-policy"]
    scripts = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe" not in scripts
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_a_viewer_gets_nothing_of_a_project_that_is_not_theirs(dashboard: Dashboard) -> None:
    cookie = dashboard.cookie(READERS["default"])
    status, body = rows(dashboard, cookie, "?project=other")
    assert status >= 400 or "rowData" not in body
    assert dashboard.get("/export/calls.csv?project=other", cookie).status == 400
    mine = dashboard.get("/export/calls.csv?range=24h", cookie).body
    theirs = dashboard.get("/export/calls.csv?range=24h", dashboard.cookie(READERS["other"])).body
    rows_of = [list(csv.reader(io.StringIO(text, newline="")))[1:] for text in (mine, theirs)]
    traces = [{row[1] for row in found} for found in rows_of]
    assert traces[0]
    assert traces[1]
    assert not traces[0] & traces[1]
    foreign, span = rows_of[1][0][1:3]
    assert dashboard.get(f"/export/spans/{foreign}/{span}.json", cookie).status == 404
