"""People sign in at their identity provider and get what they are members of, no more and no longer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from spanledger_collector.store.registry.keys import KeyDirectory
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from spanledger_dashboards.editing import save
from spanledger_dashboards.gate import Gate
from spanledger_dashboards.here import Here, here, set_here
from spanledger_dashboards.here import Store as Pages
from spanledger_dashboards.oidc import Provider
from spanledger_dashboards.session import Sessions, viewer_of
from spanledger_dashboards.settings import OidcSettings
from spanledger_dashboards.view import view_of
from tests.servers import free_port
from tests.stores import Store

pytestmark = pytest.mark.clickhouse

SECRET = "a secret of the test's own"
CLIENT_ID = "spanledger"


@dataclass
class IdentityProvider:
    """A provider of the test's own: discovery, keys, an authorization that needs no password, and tokens."""

    issuer: str
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    wrong_key: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1"}, private=True))
    other_key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1"}, private=True))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        paths = {
            "/.well-known/openid-configuration": self.metadata,
            "/jwks": self.jwks,
            "/authorize": self.authorize,
            "/token": self.token,
        }
        answer = await paths[request.url.path](request)
        await answer(scope, receive, send)

    async def metadata(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def jwks(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        self.codes["code-1"] = asked
        return RedirectResponse(
            asked["redirect_uri"] + "?" + urlencode({"code": "code-1", "state": asked["state"]}), 302
        )

    async def token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self.codes.pop(form["code"])
        assert form["code_verifier"]
        now = int(time.time())
        claims = {
            **{"iss": self.issuer, "aud": CLIENT_ID, "sub": "1", "iat": now, "exp": now + 60},
            **{"nonce": asked["nonce"]},
            **self.claims,
        }
        key = self.other_key if self.wrong_key else self.key
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, key)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": token})


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """Instead of the pages: who is looking."""
    if scope["type"] == "lifespan":
        return
    viewer = here().viewer
    body = {"projects": list(viewer.projects), "edits": [p for p in viewer.projects if viewer.may_edit(p)]}
    await JSONResponse(body)(scope, receive, send)


@contextmanager
def serving(app: ASGIApp, port: int) -> Generator[str]:
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@dataclass
class Pair:
    """The pages' gate and an identity provider."""

    url: str
    provider: IdentityProvider
    registry: Registry
    keys: KeyDirectory
    browsers: list[httpx.Client] = field(default_factory=list[httpx.Client])

    def member(self, project: str, name: str, role: str) -> None:
        self.registry.put(project, Draft(kind="member", name=name, document={"role": role}), author="t")
        self.keys.refresh()

    def browser(self) -> httpx.Client:
        made = httpx.Client(base_url=self.url, follow_redirects=True)
        self.browsers.append(made)
        return made

    def sign_in(self, email: str, verified: bool = True, **more: Any) -> tuple[httpx.Client, httpx.Response]:
        self.provider.claims = {"email": email, "email_verified": verified, **more}
        browser = self.browser()
        return browser, browser.get("/oidc/login?next=/calls")


@pytest.fixture
def pair(store: Store) -> Iterator[Pair]:
    registry = Registry(store.client)
    keys = KeyDirectory(registry)
    keys.refresh()
    sessions = Sessions(SECRET, keys)
    provider_port, port = free_port(), free_port()
    identity = IdentityProvider(f"http://127.0.0.1:{provider_port}")
    settings = OidcSettings(
        oidc_issuer=identity.issuer, oidc_client_id=CLIENT_ID, dashboard_url=f"http://127.0.0.1:{port}"
    )
    gate = Gate(
        page,
        sessions=sessions,
        store=Pages(store.client, None),
        paths=["/", "/calls"],
        policy=lambda: "default-src 'none'",
        begin=lambda _path, _search: None,
        provider=Provider(settings, sessions, SECRET),
    )
    with serving(identity, provider_port), serving(gate, port) as url:
        pair = Pair(url, identity, registry, keys)
        yield pair
        for browser in pair.browsers:
            browser.close()


def test_a_member_signs_in_and_arrives_where_they_wanted(pair: Pair) -> None:
    pair.member("shop", "ann@example.com", "viewer")
    assert "Sign in with single sign-on" in pair.browser().get("/").text
    browser, answer = pair.sign_in("Ann@Example.com")
    assert (answer.status_code, str(answer.url)) == (200, f"{pair.url}/calls")
    assert answer.json() == {"projects": ["shop"], "edits": []}
    assert browser.get("/").json()["projects"] == ["shop"]
    browser.get("/signout")
    assert "Sign in" in browser.get("/").text


def test_roles_and_groups_say_what_a_member_may_do_in_each_project(pair: Pair) -> None:
    pair.member("shop", "ann@example.com", "viewer")
    pair.member("bank", "ann@example.com", "editor")
    pair.member("shop", "group:owners", "admin")
    pair.member("other", "bob@example.com", "admin")
    _, plain = pair.sign_in("ann@example.com")
    assert plain.json() == {"projects": ["bank", "shop"], "edits": ["bank"]}
    _, grouped = pair.sign_in("ann@example.com", groups=["owners", 7])
    assert grouped.json()["edits"] == ["bank", "shop"]


def test_a_member_of_project_star_sees_every_project(pair: Pair) -> None:
    pair.member("*", "root@example.com", "admin")
    pair.member("shop", "ann@example.com", "viewer")
    _, answer = pair.sign_in("root@example.com")
    assert set(answer.json()["projects"]) == {"default", "shop"}


def test_an_editor_cannot_make_himself_an_admin(pair: Pair, store: Store) -> None:
    pair.member("shop", "ann@example.com", "editor")
    viewer = viewer_of(pair.keys.person("ann@example.com"), ())
    set_here(Here(viewer, Pages(store.client, pair.registry)))
    view = view_of("/registry", {}, projects=viewer.projects, now=time.time_ns())
    base = {"kind": "member", "name": "ann@example.com", "version": 1}
    asyncio.run(save(view, base, '{"role": "admin"}', ""))
    assert pair.registry.get("shop", "member", "ann@example.com").document == {"role": "editor"}
    budget = {"kind": "budget", "name": "b", "version": 0}
    asyncio.run(save(view, budget, '{"amount": "5"}', ""))
    assert pair.registry.get("shop", "budget", "b").author == "key person:ann@example.com"


def test_a_role_taken_away_ends_the_session(pair: Pair) -> None:
    pair.member("shop", "ann@example.com", "viewer")
    browser, _ = pair.sign_in("ann@example.com")
    pair.registry.delete("shop", "member", "ann@example.com", author="t")
    pair.keys.refresh()
    assert browser.get("/calls", follow_redirects=False).headers["location"].startswith("/signin")


@pytest.mark.parametrize(
    ("claims", "status", "text"),
    [
        ({"email": "eve@example.com"}, 403, "eve@example.com is a member of no project"),
        ({"email": "<img src=x>@example.com"}, 403, "&lt;img src=x&gt;"),
        ({"email_verified": False}, 403, "no verified e-mail"),
        ({"email": None}, 403, "no verified e-mail"),
        ({"aud": "another"}, 401, "did not succeed"),
        ({"iss": "https://evil.example"}, 401, "did not succeed"),
        ({"nonce": "old"}, 401, "did not succeed"),
        ({"exp": 1_000_000_000}, 401, "did not succeed"),
    ],
)
def test_whoever_is_not_proven_a_member_stays_outside(
    pair: Pair, claims: dict[str, Any], status: int, text: str
) -> None:
    pair.member("shop", "ann@example.com", "admin")
    given: dict[str, Any] = {"email": "ann@example.com", "email_verified": True, **claims}
    browser, answer = pair.sign_in(given.pop("email"), given.pop("email_verified"), **given)
    assert (answer.status_code, text in answer.text) == (status, True), answer.text
    assert "spanledger_person" not in browser.cookies
    assert browser.get("/calls", follow_redirects=False).status_code == 303


def test_a_token_signed_by_somebody_else_is_refused(pair: Pair) -> None:
    pair.member("shop", "ann@example.com", "admin")
    pair.provider.wrong_key = True
    _, answer = pair.sign_in("ann@example.com")
    assert answer.status_code == 401


def test_an_answer_that_nobody_asked_for_is_refused(pair: Pair) -> None:
    pair.member("shop", "ann@example.com", "admin")
    browser, _ = pair.sign_in("ann@example.com")
    stranger = pair.browser()
    assert stranger.get("/oidc/callback?code=code-1&state=made-up").status_code == 401
    assert stranger.get("/oidc/nothing").status_code == 404
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "/signout"])
def test_a_sign_in_never_leads_elsewhere(pair: Pair, target: str) -> None:
    pair.member("shop", "ann@example.com", "viewer")
    pair.provider.claims = {"email": "ann@example.com", "email_verified": True}
    answer = pair.browser().get("/oidc/login", params={"next": target})
    assert str(answer.url) == f"{pair.url}/"


def test_a_provider_that_is_away_is_told(pair: Pair, store: Store) -> None:
    sessions = Sessions(SECRET, pair.keys)
    settings = OidcSettings(
        oidc_issuer=f"http://127.0.0.1:{free_port()}", oidc_client_id=CLIENT_ID, dashboard_url=pair.url
    )
    gate = Gate(
        page,
        sessions=sessions,
        store=Pages(store.client, None),
        paths=["/"],
        policy=lambda: "default-src 'none'",
        begin=lambda _path, _search: None,
        provider=Provider(settings, sessions, SECRET),
    )
    with serving(gate, free_port()) as url:
        answer = httpx.get(f"{url}/oidc/login")
    assert (answer.status_code, "does not answer" in answer.text) == (502, True)


def test_a_cookie_is_believed_only_with_our_signature(pair: Pair) -> None:
    pair.member("shop", "ann@example.com", "viewer")
    forged = Sessions("another secret", pair.keys).admit("ann@example.com", [])
    browser = pair.browser()
    browser.cookies.set("spanledger_person", forged or "")
    assert urlsplit(str(browser.get("/calls").url)).path == "/signin"
