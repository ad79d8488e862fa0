"""One request for one upstream in, its open answer out; connections are pooled and addresses guarded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from spanledger.serving.asks import Wire
from spanledger.serving.failures import Failure
from spanledger.serving.snapshot import Upstream

from .ssrf import ForbiddenAddressError, PublicResolver, check_url

PATHS: dict[Wire, str] = {
    "chat": "chat/completions",
    "responses": "responses",
    "embeddings": "embeddings",
    "messages": "messages",
}
ANTHROPIC_VERSION = "2023-06-01"
PASSED_ON = ("openai-beta", "anthropic-beta", "anthropic-version")
"""Headers of a caller that reach a provider. Everything else (keys, cookies, addresses) stays here."""

# Shorter than uvicorn's five seconds, which vLLM keeps, so that we never write into a connection being closed.
_KEEP_ALIVE_S = 4.0


class AttemptFailed(Exception):
    """An attempt did not give an answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Upstreams:
    """Opens requests. Upstreams that may be private use other connections than those that may not."""

    def __init__(self, connect_timeout_s: float) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s)
        self._any = _session(timeout, None)
        self._public = _session(timeout, PublicResolver())

    @property
    def internal(self) -> aiohttp.ClientSession:
        """Connections to the collector and to engines' metrics, whose addresses an operator chose."""
        return self._any

    async def close(self) -> None:
        """Close all connections."""
        await self._any.close()
        await self._public.close()

    async def post(
        self, upstream: Upstream, wire: Wire, body: bytes, caller: Mapping[str, str], traceparent: str
    ) -> aiohttp.ClientResponse:
        """Send the request; the answer's head has arrived on return. The caller releases or closes it.

        Raises:
            AttemptFailed: no connection, a connection that broke, or an upstream that cannot be called.
        """
        headers = _headers(upstream, wire, caller)
        if upstream.protocol == "vllm":
            headers["traceparent"] = traceparent
        session = self._any if upstream.allow_private else self._public
        try:
            url = url_of(upstream.base_url, PATHS[wire], upstream.allow_private)
            return await session.post(url, data=body, headers=headers, allow_redirects=False)
        except ForbiddenAddressError as forbidden:
            raise AttemptFailed(Failure(reason="unusable", message=str(forbidden))) from forbidden
        except aiohttp.ClientConnectorError as wrong:
            if isinstance(wrong.os_error, ForbiddenAddressError):
                raise AttemptFailed(Failure(reason="unusable", message=str(wrong.os_error))) from wrong
            raise AttemptFailed(Failure(reason="connect", message=str(wrong))) from wrong
        except aiohttp.ConnectionTimeoutError as wrong:
            raise AttemptFailed(Failure(reason="connect", message="connecting took too long")) from wrong
        except (aiohttp.ClientError, OSError) as wrong:
            raise AttemptFailed(
                Failure(reason="reset", message=str(wrong) or type(wrong).__name__)
            ) from wrong

    async def text(self, upstream: Upstream, url: str, timeout: aiohttp.ClientTimeout, largest: int) -> str:
        """A page of the upstream, such as its metrics; what ``largest`` bytes do not hold is cut off.

        Raises:
            AttemptFailed: the address may not be called, or the answer is not 200.
            aiohttp.ClientError, OSError, TimeoutError: it cannot be reached.
        """
        check_url(url, upstream.allow_private)
        session = self._any if upstream.allow_private else self._public
        async with session.get(url, timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                raise AttemptFailed(Failure(reason="status", status=answer.status, message="no page"))
            parts: list[bytes] = []
            async for part in answer.content.iter_any():
                parts.append(part)
                largest -= len(part)
                if largest < 0:
                    break
            return b"".join(parts).decode("utf-8", "replace")


def _session(timeout: aiohttp.ClientTimeout, resolver: AbstractResolver | None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,
        ttl_dns_cache=30,
        keepalive_timeout=_KEEP_ALIVE_S,
        resolver=resolver,
        enable_cleanup_closed=False,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": "spanledger-gateway", "accept-encoding": "identity"},
        read_bufsize=1 << 18,
    )


@lru_cache(maxsize=1024)
def url_of(base_url: str, path: str, allow_private: bool) -> URL:
    """Where to post: under the base URL, or under its ``/v1`` when it names no path.

    Raises:
        ForbiddenAddressError: the gateway may not call that address.
    """
    check_url(base_url, allow_private)
    base = base_url.rstrip("/")
    if not urlsplit(base).path:
        base += "/v1"
    return URL(f"{base}/{path}")


def _headers(upstream: Upstream, wire: Wire, caller: Mapping[str, str]) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    for name in PASSED_ON:
        if (value := caller.get(name)) and name.startswith("anthropic") == (wire == "messages"):
            headers[name] = value
    key = _key(upstream)
    if wire == "messages":
        headers.setdefault("anthropic-version", ANTHROPIC_VERSION)
        if key:
            headers["x-api-key"] = key
    elif key:
        headers["authorization"] = f"Bearer {key}"
    return headers


def _key(upstream: Upstream) -> str:
    if not upstream.key_env:
        return ""
    key = os.environ.get(upstream.key_env, "")
    if not key:
        message = f"the environment variable {upstream.key_env}, which holds the upstream's key, is not set"
        raise AttemptFailed(Failure(reason="unusable", message=message))
    return key
