"""A person's sign-in at an identity provider (OpenID Connect) in; a session cookie for its members out.

The code flow with PKCE; authlib keeps state and nonce in a cookie of ten minutes and checks the ID token.
Only a verified e-mail address counts, for roles are given to addresses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from html import escape
from typing import Any, cast

from authlib.integrations.starlette_client import OAuth
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from spanledger_collector.store.registry.keys import KeysUnavailableError

from .session import PERSON_COOKIE, PERSON_MAX_AGE_S, Sessions
from .settings import OidcSettings

PREFIX = "/oidc/"
STATE_COOKIE = "spanledger_oidc"
STATE_MAX_AGE_S = 600
_NEXT = "next"

log = logging.getLogger(__name__)


class Provider:
    """The identity provider; its metadata is read at the first sign-in, so that it may be away at the start."""

    def __init__(
        self, settings: OidcSettings, sessions: Sessions, secret: str, *, secure: bool = False
    ) -> None:
        self.name = settings.oidc_name
        self._settings, self._sessions, self._secret, self._secure = settings, sessions, secret, secure
        oauth: Any = OAuth()  # authlib has no types
        self._client: Any = oauth.register(
            "provider",
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret or None,
            server_metadata_url=f"{settings.oidc_issuer}/.well-known/openid-configuration",
            client_kwargs={"scope": settings.oidc_scopes, "code_challenge_method": "S256", "timeout": 10},
        )

    async def answer(self, request: Request, target: str) -> Response:
        """Answer ``/oidc/login`` and ``/oidc/callback``; ``target`` is where the person wants to go."""
        steps = {f"{PREFIX}login": self._login, f"{PREFIX}callback": self._callback}
        step = steps.get(request.url.path)
        if step is None or request.method != "GET":
            return PlainTextResponse("There is no such page.\n", 404)
        return _WithState(step, target, self._secret, secure=self._secure)

    async def _login(self, request: Request, target: str) -> Response:
        request.session.clear()
        request.session[_NEXT] = target
        try:
            return cast(Response, await self._client.authorize_redirect(request, self._redirect_uri))
        # The edge of a request: authlib's HTTP client is one of two libraries, each with errors of its own.
        except Exception as away:  # noqa: BLE001
            log.warning("the identity provider cannot be asked: %s", away)
            return _page("The identity provider does not answer. Try again, or sign in with a key.", 502)

    async def _callback(self, request: Request, _: str) -> Response:
        target = str(request.session.get(_NEXT, "/"))
        try:
            token: Mapping[str, Any] = await self._client.authorize_access_token(request)
        except Exception as wrong:  # noqa: BLE001 # the same; whatever it is, nobody is let in
            log.warning("a sign-in was refused: %s", wrong)
            return _page("The sign-in did not succeed. Begin again.", 401)
        finally:
            request.session.clear()
        return await self._admit(token.get("userinfo") or {}, target)

    async def _admit(self, claims: Mapping[str, Any], target: str) -> Response:
        email = claims.get("email")
        if not isinstance(email, str) or not email or claims.get("email_verified") is not True:
            return _page("The identity provider names no verified e-mail address for you.", 403)
        groups = _texts(claims.get(self._settings.oidc_groups_claim))
        try:
            cookie = await asyncio.to_thread(self._sessions.admit, email, groups)
        except KeysUnavailableError:
            return _page("The store is away, so nobody can be let in yet. Try again in a moment.", 503)
        if cookie is None:
            return _page(f"{email} is a member of no project. An administrator adds you: kind “member”.", 403)
        answer = RedirectResponse(target, 303)
        answer.set_cookie(
            PERSON_COOKIE,
            cookie,
            max_age=PERSON_MAX_AGE_S,
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )
        return answer

    @property
    def _redirect_uri(self) -> str:
        return f"{self._settings.dashboard_url}{PREFIX}callback"


class _WithState(Response):
    """A step run with the state cookie's session around it."""

    def __init__(self, step: Any, target: str, secret: str, *, secure: bool) -> None:
        super().__init__()

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            answer: Response = await step(Request(scope, receive), target)
            await answer(scope, receive, send)

        self._app: ASGIApp = SessionMiddleware(
            run,
            secret_key=f"{secret}.oidc",
            session_cookie=STATE_COOKIE,
            max_age=STATE_MAX_AGE_S,
            path=PREFIX,
            same_site="lax",
            https_only=secure,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _texts(claim: object) -> list[str]:
    return (
        [entry for entry in cast(list[object], claim) if isinstance(entry, str)]
        if isinstance(claim, list)
        else []
    )


def _page(text: str, status: int) -> HTMLResponse:
    return HTMLResponse(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Sign in · Spanledger</title>'
        '<link rel="stylesheet" href="/assets/app.css"></head><body><main class="door">'
        f'<h1>Spanledger</h1><p class="notice red" role="alert">{escape(text)}</p>'
        '<p><a class="button" href="/signin">To the sign-in</a></p></main></body></html>',
        status,
    )
