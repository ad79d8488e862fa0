"""One request for one upstream in, its open answer out: where it goes, which headers go with it, what went wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from spanledger.serving.asks import Wire
from spanledger.serving.failures import Failure
from spanledger.serving.snapshot import Upstream

from .http.client import Client, Origin
from .http.errors import ConnectError
from .http.response import Response
from .ssrf import ForbiddenAddressError, check_address, check_url

PATHS: dict[Wire, str] = {
    "chat": "chat/completions",
    "responses": "responses",
    "embeddings": "embeddings",
    "messages": "messages",
}
ANTHROPIC_VERSION = b"2023-06-01"
PASSED_ON = ("openai-beta", "anthropic-beta", "anthropic-version")
"""Headers of a caller that reach a provider. Everything else (keys, cookies, addresses) stays here."""

_PORTS = {"http": 80, "https": 443}


class AttemptFailed(Exception):
    """An attempt did not give an answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Place(NamedTuple):
    """A URL, ready to be asked: the connection's end, and the request's target with the headers every request has."""

    origin: Origin
    target: bytes
    host: bytes


class Upstreams:
    """Opens requests."""

    def __init__(self, connect_timeout_s: float) -> None:
        self._client = Client(connect_timeout_s, check_address)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def post(
        self, upstream: Upstream, wire: Wire, body: bytes, caller: Mapping[str, str], traceparent: str
    ) -> Response:
        """Send the request; the answer's head has arrived on return. The caller releases or closes it.

        Raises:
            AttemptFailed: no connection, a connection that broke, or an upstream that cannot be called.
        """
        try:
            place = place_of(upstream.base_url, PATHS[wire], upstream.allow_private)
            lines = [*_headers(upstream, wire, caller), b"content-length: %d" % len(body)]
            if traceparent:
                lines.append(b"traceparent: " + traceparent.encode())
            return await self._client.send(place.origin, _request(b"POST", place, lines) + body)
        except ForbiddenAddressError as forbidden:
            raise AttemptFailed(Failure(reason="unusable", message=str(forbidden))) from forbidden
        except ConnectError as wrong:
            raise AttemptFailed(Failure(reason="connect", message=str(wrong))) from wrong
        except OSError as wrong:
            raise AttemptFailed(
                Failure(reason="reset", message=str(wrong) or type(wrong).__name__)
            ) from wrong

    async def page(
        self, url: str, *, allow_private: bool, limit_s: float, largest: int, headers: Mapping[str, str] = {}
    ) -> tuple[int, bytes]:
        """Status and body of a page, such as an engine's metrics; redirects are not followed.

        Raises:
            OSError, TimeoutError: it cannot be reached, may not be called, or is larger than ``largest`` bytes.
        """
        async with asyncio.timeout(limit_s):
            place = place_of(url, "", allow_private)
            lines = [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
            response = await self._client.send(place.origin, _request(b"GET", place, lines))
            try:
                return response.status, await response.read(largest)
            finally:
                response.release()


@lru_cache(maxsize=1024)
def place_of(base_url: str, path: str, allow_private: bool) -> Place:
    """Where to ask: the path under the base URL, or under its ``/v1`` when it names no path. No path: the URL itself.

    Raises:
        ForbiddenAddressError: the gateway may not call that address.
    """
    check_url(base_url, allow_private)
    parts = urlsplit(base_url)
    try:
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = parts.port or _PORTS[parts.scheme]
    except ValueError as wrong:
        raise ForbiddenAddressError(f"{base_url!r} is no address: {wrong}") from wrong
    base = parts.path.rstrip("/")
    full = f"{base or '/v1'}/{path}" if path else parts.path or "/"
    target = quote(full, safe="/:@!$&'()*+,;=~%-._") + (f"?{parts.query}" if parts.query else "")
    named = f"[{host}]" if ":" in host else host
    shown = named if port == _PORTS[parts.scheme] else f"{named}:{port}"
    return Place(
        Origin(parts.scheme, host, port, not allow_private), target.encode("ascii"), shown.encode("ascii")
    )


def _request(method: bytes, place: Place, lines: list[bytes]) -> bytes:
    """The head of a request.

    Raises:
        AttemptFailed: a header's value (a key, say) holds a line break.
    """
    head = b"\r\n".join(
        (
            b"%b %b HTTP/1.1" % (method, place.target),
            b"host: " + place.host,
            b"user-agent: spanledger-gateway",
            b"accept-encoding: identity",
            *lines,
        )
    )
    if head.count(b"\n") != len(lines) + 3:
        raise AttemptFailed(Failure(reason="unusable", message="a header's value holds a line break"))
    return head + b"\r\n\r\n"


def _headers(upstream: Upstream, wire: Wire, caller: Mapping[str, str]) -> list[bytes]:
    lines = [b"content-type: application/json"]
    for name in PASSED_ON:
        if (value := caller.get(name)) and name.startswith("anthropic") == (wire == "messages"):
            lines.append(f"{name}: {value}".encode("latin-1"))
    key = _key(upstream)
    if wire == "messages":
        if "anthropic-version" not in caller:
            lines.append(b"anthropic-version: " + ANTHROPIC_VERSION)
        if key:
            lines.append(f"x-api-key: {key}".encode("latin-1"))
    elif key:
        lines.append(f"authorization: Bearer {key}".encode("latin-1"))
    return lines


def _key(upstream: Upstream) -> str:
    if not upstream.key_env:
        return ""
    key = os.environ.get(upstream.key_env, "").strip()
    if not key or not key.isascii():
        message = f"the environment variable {upstream.key_env}, which holds the upstream's key, is not set"
        if key:
            message = f"the environment variable {upstream.key_env} holds no key: it is not ASCII"
        raise AttemptFailed(Failure(reason="unusable", message=message))
    return key
