"""A question to the collector's query API in, its JSON answer out. Blocking, standard library only."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from spanledger.proxies import proxy_for, target_of
from spanledger.settings import Settings

_LARGEST: Final = 16 << 20


class CollectorAwayError(OSError):
    """The collector did not answer, or answered with a failure of its own."""


class NotThereError(LookupError):
    """The collector knows no such thing."""


def get(settings: Settings, path: str, timeout_s: float = 3.0) -> Any:
    """``GET path`` with the process's key.

    Raises:
        NotThereError: 404.
        PermissionError: 401 or 403.
        CollectorAwayError: no answer in time, or any other status than 200.
    """
    status, body = request(settings, "GET", path, timeout_s=timeout_s)
    if status == 404:
        raise NotThereError(path)
    if status in (401, 403):
        raise PermissionError(f"the collector refused SPANLEDGER_KEY for {path} ({status})")
    if status != 200:
        raise CollectorAwayError(f"the collector answered {status} to {path}")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CollectorAwayError(f"the collector's answer to {path} is no JSON") from error


def request(
    settings: Settings,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 3.0,
) -> tuple[int, bytes]:
    """One request; the status and the body of the answer.

    Raises:
        CollectorAwayError: no answer in time.
    """
    connection, before, extra = connect(settings, timeout_s)
    sent = {"accept": "application/json", "user-agent": "spanledger", **extra, **(headers or {})}
    if body is not None:
        sent["content-type"] = content_type
    if settings.key:
        sent["authorization"] = f"Bearer {settings.key}"
    try:
        connection.request(method, before + path, body, sent)
        answer = connection.getresponse()
        return answer.status, answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise CollectorAwayError(f"no answer from {settings.endpoint}: {error}") from error
    finally:
        connection.close()


def connect(settings: Settings, timeout_s: float) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """A connection to the collector, or to the proxy on the way; what goes before a path, and headers to send along."""
    target = target_of(settings.endpoint)
    proxy, path = proxy_for(target), target.path.rstrip("/")
    first = proxy or target
    kind = http.client.HTTPSConnection if target.is_secure else http.client.HTTPConnection
    connection = kind(first.host, first.port, timeout=timeout_s)
    if proxy is None:
        return connection, path, {}
    if target.is_secure:
        connection.set_tunnel(target.host, target.port, proxy.authorization())
        return connection, path, {}
    return connection, f"http://{target.authority}{path}", proxy.authorization()


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")
