"""Every request in; those with a session on to the pages, the others to the sign-in: an ASGI middleware.

No page, callback or export is reached without a session. Only the style sheets and scripts, which hold no data,
and ``/healthz`` are open.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spanledger_collector.store.registry.keys import Key, KeysUnavailableError

from .addresses import address_pattern
from .here import Here, Store, set_here
from .oidc import PREFIX, Provider
from .session import COOKIE, MAX_AGE_S, PERSON_COOKIE, Sessions, Viewer, viewer_of

OPEN = ("/_dash-component-suites/", "/assets/", "/_favicon.ico")
INNER = ("/_dash-layout", "/_dash-dependencies", "/_dash-update-component", "/_reload-hash")
EXPORTS = (
    "/export/calls.csv",
    "/export/spend.csv",
    "/export/statement.csv",
    "/export/reconciliation.csv",
    "/export/spans/<trace_id>/<span_id>",
)
MAX_FORM = 4096
SOON_S = 0.7
"""How long a document's scripts wait for its page at most: what is seen first is worth more than what can be pressed first."""
_BEGUN = "spanledger.begun"


class Gate:
    """``paths`` are the pages' addresses, ``<name>`` standing for one part; ``policy`` gives the CSP header.

    ``begin`` is told the path and query of each page that is about to be asked for, and gives HTML for its document.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        sessions: Sessions,
        store: Store,
        paths: Sequence[str],
        policy: Callable[[], str],
        begin: Callable[[str, str], asyncio.Task[str] | None],
        secure: bool = False,
        provider: Provider | None = None,
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._store = store
        self._policy = policy
        self._begin = begin
        self._secure = secure
        self._provider = provider
        self._primed = asyncio.Lock()
        self._is_primed = False
        self._export = re.compile("|".join(address_pattern(path) for path in EXPORTS))
        self._page = re.compile("|".join(address_pattern(path) for path in paths))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on with the viewer set."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._prime()
            request = Request(scope, receive)
            answer = await self._answered(request)
            sending = self._with_headers(send, request.url.path)
            begun: asyncio.Task[str] | None = scope.get(_BEGUN)
            await (answer or self._app)(scope, receive, _with_page(begun, sending) if begun else sending)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _prime(self) -> None:
        """Ask for the first page once, unseen: only then does Dash add its router, whose script the policy must name."""
        async with self._primed:
            if self._is_primed:
                return
            self._is_primed = True
            await asyncio.create_task(self._first_request())  # a task has a context of its own

    async def _first_request(self) -> None:
        set_here(Here(Viewer((), ("",)), self._store))
        scope: Scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "headers": [],
            "server": ("127.0.0.1", 0), "client": ("127.0.0.1", 0),
        }  # fmt: skip
        await self._app(scope, _nothing_more, _unheard)

    async def _answered(self, request: Request) -> Response | None:
        try:
            return await self._answer(request)
        except KeysUnavailableError:
            return HTMLResponse(_document("Not ready", _NOT_READY), 503, headers={"retry-after": "5"})

    async def _answer(self, request: Request) -> Response | None:
        """The gate's own answer, or None to let the request through."""
        path = request.url.path
        if path == "/healthz":
            return PlainTextResponse("ok")
        if path.startswith(OPEN) and request.method in ("GET", "HEAD"):
            return None
        if path == "/signin":
            return await self._sign_in(request)
        if path == "/signout":
            return self._forget(RedirectResponse("/signin", 303))
        if path.startswith(PREFIX) and self._provider:
            return await self._provider.answer(request, _inside(request.query_params.get("next", "/")))
        if request.query_params.get("key"):
            return await self._sign_in_by_address(request)
        return await self._signed_in(request)

    async def _signed_in(self, request: Request) -> Response | None:
        path = request.url.path
        viewer = await asyncio.to_thread(self._viewer, request.cookies)
        known = self._page.fullmatch(path) is not None
        inner = path.startswith(INNER) or self._export.fullmatch(path) is not None
        if viewer is None and known and request.method == "GET":
            return RedirectResponse("/signin?next=" + quote(_here(request)), 303)
        if viewer is None:
            return PlainTextResponse("Sign in first.\n", 401 if inner or known else 404)
        if not known and not inner:
            return HTMLResponse(_document("Not found", _NOT_FOUND), 404)
        if request.method == "POST" and not _same_origin(request):
            return PlainTextResponse("This request came from another site.\n", 403)
        set_here(Here(viewer, self._store))
        if known and request.method == "GET":
            request.scope[_BEGUN] = self._begin(path, request.url.query)
        return None

    def _viewer(self, cookies: Mapping[str, str]) -> Viewer | None:
        keys = [*self._sessions.keys(cookies.get(COOKIE)), *self._person(cookies)]
        if not keys:
            return None
        return viewer_of(keys, self._store.projects() if any(key.operator for key in keys) else ())

    def _person(self, cookies: Mapping[str, str]) -> list[Key]:
        return self._sessions.person(cookies.get(PERSON_COOKIE)) if self._provider else []

    async def _sign_in(self, request: Request) -> Response:
        target = _inside(request.query_params.get("next", "/"))
        if request.method == "GET":
            return HTMLResponse(_sign_in_form(target, provider=self._provider))
        if request.method != "POST" or not _same_origin(request):
            return PlainTextResponse("Use the form.\n", 405)
        form = parse_qs((await _body(request))[:MAX_FORM].decode("latin-1"))
        return await self._admit(request, form.get("key", [""])[-1], target)

    async def _sign_in_by_address(self, request: Request) -> Response:
        rest = "&".join(part for part in request.url.query.split("&") if not part.startswith("key="))
        target = request.url.path + ("?" + rest if rest else "")
        return await self._admit(request, request.query_params["key"], _inside(target))

    async def _admit(self, request: Request, key: str, target: str) -> Response:
        cookie = await asyncio.to_thread(self._sessions.sign_in, key, request.cookies.get(COOKIE))
        if cookie is None:
            return HTMLResponse(_sign_in_form(target, wrong=True, provider=self._provider), 401)
        answer = RedirectResponse(target, 303)
        answer.set_cookie(
            COOKIE, cookie, max_age=MAX_AGE_S, httponly=True, samesite="lax", secure=self._secure
        )
        return answer

    def _forget(self, answer: Response) -> Response:
        for name in (COOKIE, PERSON_COOKIE):
            answer.delete_cookie(name, httponly=True, samesite="lax", secure=self._secure)
        return answer

    def _with_headers(self, send: Send, path: str) -> Send:
        caching = b"no-cache" if path.startswith(OPEN) else b"no-store"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                added = [pair for pair in self._headers(caching) if pair[0] not in own]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        return sending

    def _headers(self, caching: bytes) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-security-policy", self._policy().encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"x-frame-options", b"DENY"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cache-control", caching),
        ]


def _with_page(html: asyncio.Task[str], send: Send) -> Send:
    """Sends a document with the HTML in it: before the scripts, which start at once, where it is there soon, else behind them."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
            await send({**message, "headers": headers})
            return
        document, footer, scripts = message.get("body", b"").partition(b"<footer>")
        if message.get("more_body") or not footer:
            await send(message)
            return
        found = _SCRIPT.findall(scripts)
        loading = b"".join(b'<link rel="preload" as="script" href="' + source + b'">' for source in found)
        await send({**message, "body": document + loading, "more_body": True})
        await asyncio.wait({html}, timeout=SOON_S)
        if html.done():
            await send({**message, "body": html.result().encode() + footer + scripts})
            return
        inner, end, rest = scripts.rpartition(b"</body>")
        await send({**message, "body": footer + inner, "more_body": True})
        await send({**message, "body": (await html).encode() + end + rest})

    return sending


_SCRIPT = re.compile(rb'<script src="([^"]+)">')


async def _nothing_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _unheard(_message: Message) -> None:
    return None


def _inside(target: str) -> str:
    """A path on this server, so that a sign-in never leads elsewhere."""
    parts = urlsplit(target)
    plain = (
        target.startswith("/")
        and not target.startswith(("//", "/\\"))
        and not parts.netloc
        and target.isprintable()
    )
    return target if plain and not parts.path.startswith("/sign") else "/"


def _here(request: Request) -> str:
    return request.url.path + ("?" + request.url.query if request.url.query else "")


def _same_origin(request: Request) -> bool:
    """Browsers name the origin of a POST; one that does not match its host comes from another site."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _body(request: Request) -> bytes:
    """At most a little more than ``MAX_FORM`` bytes of the body."""
    read = b""
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_FORM:
            break
    return read


def _document(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title} · Spanledger</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<script src="/assets/theme.js"></script><link rel="stylesheet" href="/assets/app.css">'
        '<link rel="icon" href="/assets/favicon.svg"></head>'
        f'<body><main class="door">{body}</main></body></html>'
    )


_NOT_FOUND = (
    '<span class="logo"></span><h1>There is no such page</h1>'
    '<p>The address may be mistyped, or the page may have moved.</p><p><a class="button" href="/">To the overview</a></p>'
)

_NOT_READY = (
    '<span class="logo"></span><h1>The store is away</h1>'
    "<p>The keys cannot be read, so nobody can be let in yet. Start the engine (<code>spanledger up</code>),"
    " then load this page again.</p>"
)


def _sign_in_form(target: str, *, wrong: bool = False, provider: Provider | None = None) -> str:
    problem = (
        '<p class="notice red" role="alert">This key opens nothing: it is unknown, revoked, or has no scope “read”.</p>'
        if wrong
        else ""
    )
    elsewhere = (
        f'<p><a class="button" href="{PREFIX}login?next={escape(quote(target))}">'
        f"Sign in with {escape(provider.name)}</a></p>"
        if provider
        else ""
    )
    return _document(
        "Sign in",
        '<span class="logo"></span><h1>Spanledger</h1>'
        "<p>The ledger of every LLM call. Sign in with a key that may read a project.</p>"
        f'{problem}{elsewhere}<form method="post" action="/signin?next={escape(quote(target))}">'
        '<label for="key">Key</label><input id="key" name="key" type="password" autocomplete="current-password"'
        ' placeholder="sl_…" required autofocus><button class="button primary">Sign in</button></form>'
        '<p class="about"><code>spanledger up</code> prints a key when it starts. An administrator makes more in the'
        " registry: a document of kind <code>key</code> with scope <code>read</code>.</p>",
    )
