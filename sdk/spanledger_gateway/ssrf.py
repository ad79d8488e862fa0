"""An upstream's address in, whether the gateway may call it out: checked at resolution, so a name cannot change later."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


class ForbiddenAddressError(OSError):
    """The address is private, link-local or otherwise not on the public internet."""


def is_public(address: str) -> bool:
    """Whether the IP address is a global unicast one; an IPv4 address inside IPv6 counts as itself."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = _inside(ip) or ip
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _inside(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, by 6to4, or by NAT64 (RFC 6052)."""
    if any(ip in network for network in _NAT64):
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour


def check_url(url: str, allow_private: bool) -> None:
    """Check what can be checked before a name is resolved.

    Raises:
        ForbiddenAddressError: the URL is not http(s), holds credentials, or names a forbidden address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ForbiddenAddressError(f"{parts.scheme}://{parts.hostname} is no plain http(s) address")
    if allow_private:
        return
    literal = _literal(parts.hostname)
    if literal is None:
        return  # a name: the resolver checks what it stands for
    if not is_public(literal):
        raise ForbiddenAddressError(
            f"{parts.hostname} is not public; set allow_private on the upstream to call it"
        )


def _literal(host: str) -> str | None:
    """The host as a plain IP address, if it is one in any of the spellings that C libraries take (127.1, 0x7f.1)."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    if not host.replace(".", "").replace("x", "").isalnum() or not host[:1].isdigit():
        return None
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def check_address(host: str, address: str) -> None:
    """Check an address that a name was resolved to, before it is connected to.

    Raises:
        ForbiddenAddressError: it is not public.
    """
    if not is_public(address):
        raise ForbiddenAddressError(
            f"{host} resolves to {address}, which is not public; set allow_private on the upstream"
        )
