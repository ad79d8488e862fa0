"""Ports that are about to be taken in; what is wrong with them, named by setting, out."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping


def complaints(host: str, ports: Mapping[str, int]) -> list[str]:
    """What hinders listening on each of ``{setting: port}``; empty when all are free."""
    found: list[str] = []
    taken: dict[int, str] = {}
    for setting, port in ports.items():
        if port in taken:
            found.append(f"port {port} is given to both {taken[port]} and {setting}: change one of them")
            continue
        taken[port] = setting
        hindrance = _hindrance(host, port)
        if hindrance:
            found.append(f"port {port} {hindrance}: stop what listens there, or set {setting} to a free port")
    return found


def _hindrance(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do, so that a port that only waits out old connections counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            return "may not be opened by this user"
        except OSError as error:
            return (
                f"is in use on {host}"
                if error.errno == errno.EADDRINUSE
                else f"cannot be opened on {host} ({error})"
            )
    return ""
