"""Settings, a read-only client and the key directory in; the ASGI application out."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import dash
import plotly
from dash import Dash
from dash.fingerprint import build_fingerprint  # pyright: ignore[reportUnknownVariableType]
from fastapi import FastAPI
from starlette.types import ASGIApp

from spanledger_collector.store.kept_answers import KeptAnswers
from spanledger_collector.store.reads.asking import Client
from spanledger_collector.store.registry.registry import Registry

from . import callbacks, export, finance_export, shell
from .gate import Gate
from .here import Store, here
from .oidc import Provider
from .pages import PAGES
from .pages.ahead import Ahead
from .pages.page import Page
from .playing import Gateway
from .session import Keys, Sessions
from .settings import OidcSettings

log = logging.getLogger(__name__)

_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<meta name="plotly" content="{plotly}">
<title>{%title%}</title>
<script src="/assets/theme.js"></script>
<link rel="icon" href="/assets/favicon.svg">
<link rel="preload" href="/_dash-layout" as="fetch" crossorigin="anonymous">
<link rel="preload" href="/_dash-dependencies" as="fetch" crossorigin="anonymous">
{%css%}
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


def build(
    client: Client,
    keys: Keys,
    secret: str,
    *,
    editor: Registry | None = None,
    kept: KeptAnswers | None = None,
    secure_cookies: bool = False,
    oidc: OidcSettings | None = None,
    gateway: Gateway | None = None,
) -> ASGIApp:
    """The pages behind the gate. One call a process: Dash keeps its page registry per process.

    ``editor`` writes the documents that admins change; without it nobody can change any. ``oidc`` lets
    members sign in with their identity provider besides. ``gateway`` is where the playground asks.
    """
    server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    server.include_router(export.router)
    server.include_router(finance_export.router)
    app = Dash(
        __name__,
        backend="fastapi",
        server=server,  # type: ignore[arg-type] # a FastAPI app is what this backend takes
        use_pages=True,
        pages_folder="",
        use_async=True,
        assets_folder=str(Path(__file__).parent / "assets"),
        assets_ignore=r"theme\.js",
        index_string=_INDEX.replace("{plotly}", _plotly()),
        title="Spanledger",
        update_title="",
        suppress_callback_exceptions=True,
        enable_mcp=False,
    )
    app.layout = lambda: shell.layout(here().viewer)
    ahead = Ahead(PAGES)
    for order, page in enumerate(PAGES):
        _add(page, order, ahead)
    callbacks.register(app)
    sessions = Sessions(secret, keys)
    return Gate(
        server,
        sessions=sessions,
        store=Store(client, editor, gateway, kept),
        paths=[page.path for page in PAGES],
        begin=ahead.begin,
        policy=lambda: _policy(app),
        secure=secure_cookies,
        provider=Provider(oidc, sessions, secret, secure=secure_cookies)
        if oidc and oidc.oidc_issuer
        else None,
    )


def _add(page: Page, order: int, ahead: Ahead) -> None:
    async def layout(**query: Any) -> Any:
        return await ahead.take(page, query)

    place = {"path_template": page.path} if "<" in page.path else {"path": page.path}
    name = f"spanledger_dashboards.pages.{page.path.strip('/').split('/')[0] or 'overview'}"
    register: Any = cast("Any", dash).register_page  # its own annotations are partial
    register(name, title=f"{page.title} · Spanledger", name=page.title, order=order, layout=layout, **place)


def _plotly() -> str:
    """Where plotly.js lies, by an address of this version alone: browsers keep it, and its compiled form, for good."""
    script = "package_data/plotly.min.js"
    changed = int((Path(plotly.__file__).parent / script).stat().st_mtime)
    return f"/_dash-component-suites/plotly/{build_fingerprint(script, version('plotly'), changed)}"


def _policy(app: Dash) -> str:
    """Scripts from here alone, and Dash's own inline ones by their hash. Plotly and Mantine set inline styles."""
    hashes = " ".join(f"'{value}'" if not value.startswith("'") else value for value in app.csp_hashes())
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
        " font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    )
