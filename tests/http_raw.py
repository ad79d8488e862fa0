"""A bare HTTP client for tests: exactly the request that is written, and everything of its answer."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True)
class Answer:
    """Status, headers with lower-case names, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def connection(url: str, timeout_s: float = 30) -> http.client.HTTPConnection:
    """A connection to the server of ``url``."""
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)


def request(
    url: str,
    body: bytes | str = b"",
    *,
    method: str = "POST",
    params: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30,
) -> Answer:
    """One request on a connection of its own; ``params`` are put into the URL."""
    path = urlsplit(url).path or "/"
    link = connection(url, timeout_s)
    try:
        link.request(method, f"{path}?{urlencode(params)}" if params else path, body, dict(headers or {}))
        answer = link.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, answer.read())
    finally:
        link.close()
