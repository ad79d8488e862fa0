"""A real dashboard process over a seeded store, a real browser, and HTTP clients with and without a session."""

from __future__ import annotations

import http.client
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.registry.keys import KeyDirectory, hash_key
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.settings import StoreSettings
from tests.browsing import Visit
from tests.dashboards.traffic import configure, traffic
from tests.servers import answers, command, free_port, spawn

expect.set_options(timeout=30_000)  # a shared machine may be slow; a page that is never right still fails
OPERATOR = "sl_operator_0123456789abcdef"
HOSTILE = "hostile"
READERS = {project: f"sl_reader_{project}0123456789" for project in ("default", "other", HOSTILE)}
INGEST = "sl_ingest_0123456789abcdef"
ADMIN = "sl_admin_0123456789abcdef"


@dataclass
class Dashboard:
    """A running dashboard: its address, its store, and what was put in."""

    url: str
    client: Client
    registry: Registry
    log: Path

    def get(
        self,
        path: str,
        cookie: str = "",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str = "",
    ) -> Answer:
        """One request without following redirects."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            all_headers = {**({"Cookie": cookie} if cookie else {}), **(headers or {})}
            connection.request(method, path, body or None, all_headers)
            response = connection.getresponse()
            return Answer(
                response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode()
            )
        finally:
            connection.close()

    def cookie(self, key: str) -> str:
        """A session for a key."""
        return self.get(f"/?key={key}").headers["set-cookie"].partition(";")[0]


@dataclass(frozen=True)
class Answer:
    """Status, headers in lower case, body."""

    status: int
    headers: Mapping[str, str]
    body: str


@pytest.fixture(scope="session")
def dashboard(clickhouse_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """`spanledger dashboard` over two projects with traffic; the whole session's, so tests only read."""
    database = f"pages_{uuid.uuid4().hex[:12]}"
    url = urlunsplit(urlsplit(clickhouse_url)._replace(path=f"/{database}"))
    settings = StoreSettings(clickhouse_url=url)
    migrate(settings)
    client = connect(settings)
    registry = Registry(client)
    KeyDirectory(registry, bootstrap_key=OPERATOR).refresh()
    for project, key in READERS.items():
        _key(registry, project, f"reader-{project}", key, ["read"])
        if project != HOSTILE:
            traffic(time.time_ns(), project=project, hours=24, per_hour=12, seed=len(project)).insert(client)
    configure(registry, "default")
    _key(registry, "default", "ingest", INGEST, ["ingest"])
    _key(registry, "default", "admin", ADMIN, ["admin"])
    home, port = tmp_path_factory.mktemp("dashboard"), free_port()
    env = {
        "SPANLEDGER_HOME": str(home),
        "SPANLEDGER_CLICKHOUSE_URL": url,
        "SPANLEDGER_DASHBOARD_PORT": str(port),
    }
    at = f"http://127.0.0.1:{port}"
    with spawn(command("dashboard"), home / "dashboard.log", answers(f"{at}/healthz"), env):
        yield Dashboard(at, client, registry, home / "dashboard.log")
    client.command(f"DROP DATABASE {database}")
    client.close()


def _key(registry: Registry, project: str, name: str, key: str, scopes: list[str]) -> None:
    document = {"hash": hash_key(key), "project": project, "scopes": scopes}
    registry.put(project, Draft(kind="key", name=name, document=document), author="test")


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, dashboard: Dashboard) -> Iterator[Open]:
    """Opens tabs that are signed in with a key; each must end without problems. ``check``: for axe, which evals."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_tab(
        key: str = READERS["default"], *, width: int = 1440, scheme: str = "light", check: bool = False
    ) -> Visit:
        dark = "dark" if scheme == "dark" else "light"
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=dark, bypass_csp=check
        )
        contexts.append(context)
        made = Visit(context.new_page(), dashboard.url)
        visits.append(made)
        name, _, value = dashboard.cookie(key).partition("=")
        context.add_cookies([{"name": name, "value": value, "url": dashboard.url}])
        return made

    yield open_tab
    for context in contexts:
        context.close()
    assert [problem for made in visits for problem in made.problems] == []
