"""A URL in; where to connect for it out: the host itself, or the proxy that the environment names.

Loaded by the shipper process: the standard library's own reading of ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and
``NO_PROXY`` (either case) is imported only where one of them is set.
"""

from __future__ import annotations

import os

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_PORTS = {"http": 80, "https": 443}


class Target:
    """The parts of a URL of a server or of a proxy."""

    __slots__ = ("host", "path", "port", "scheme", "user")

    def __init__(self, scheme: str, user: str, host: str, port: int, path: str) -> None:
        self.scheme = scheme
        self.user = user
        """``name:password``, empty without."""
        self.host = host
        self.port = port
        self.path = path
        """With its query; ``/`` at least."""

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme == "https"

    @property
    def bracketed(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def authority(self) -> str:
        """Host and port as in a ``Host`` header."""
        return self.bracketed + (f":{self.port}" if self.port != _PORTS.get(self.scheme) else "")

    def authorization(self) -> dict[str, str]:
        """The header that tells a proxy who asks; none without a user."""
        if not self.user:
            return {}
        from base64 import b64encode
        from urllib.parse import unquote

        return {"proxy-authorization": f"Basic {b64encode(unquote(self.user).encode()).decode()}"}

    def credentials(self) -> str:
        """The same as a line of a request's head."""
        return "".join(f"{name}: {value}\r\n" for name, value in self.authorization().items())


def target_of(url: str) -> Target:
    """Take a URL apart.

    Raises:
        ValueError: the port is no number.

    >>> target_of("https://user@[::1]/v1/traces").authority
    '[::1]'
    """
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    place, slash, path = rest.partition("/")
    user, _, host = place.rpartition("@")
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):  # no port; an IPv6 address has colons of its own
        name, port = host, ""
    return Target(
        scheme,
        user,
        name.strip("[]").lower(),
        int(port) if port else _PORTS.get(scheme, 80),
        slash + path or "/",
    )


def proxy_for(target: Target) -> Target | None:
    """The proxy for a server; None to connect to it directly. This machine is never asked through a proxy."""
    if target.host in LOOPBACK or not any(
        name.lower() in _VARIABLES and os.environ[name] for name in os.environ
    ):
        return None
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    url = proxies.get(target.scheme) or proxies.get("all", "")
    if not url or proxy_bypass(f"{target.host}:{target.port}"):
        return None
    return target_of(url if "://" in url else f"http://{url}")
