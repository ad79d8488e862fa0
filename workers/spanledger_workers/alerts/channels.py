"""One alert and a channel's URL in; the alert delivered, or the reason why not, out.

``http(s)://`` is a webhook of ours: JSON, signed, no redirects, and never to an address inside the
network unless that is allowed. Everything else is an Apprise URL (Slack, Teams, PagerDuty, mail, ...).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import socket
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from spanledger_collector.store.reads.alerting import PendingAlert

TIMEOUT_S = 10.0
SIGNATURE = "x-spanledger-signature"
EVENT = "x-spanledger-event"


class NotDelivered(Exception):
    """The channel did not take the alert; ``permanent`` when it never will."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """How webhooks are sent. ``secret`` signs them; ``allow_private`` lets them stay in the network."""

    secret: str = ""
    allow_private: bool = False
    resolve: Callable[[str, int], list[str]] | None = None


def deliver(url: str, alert: PendingAlert, webhooks: Webhooks, now: int) -> None:
    """Send one alert. Raises NotDelivered."""
    if url.startswith(("http://", "https://")):
        _post(url, alert, webhooks, now)
    else:
        _notify(url, alert)


def payload(alert: PendingAlert) -> bytes:
    """The alert as a webhook's JSON body; times in ns, ids as in ``events``."""
    return json.dumps(asdict(alert), ensure_ascii=False, sort_keys=True).encode()


def signature(secret: str, body: bytes, now: int) -> str:
    """``t=<seconds>,v1=<hex HMAC-SHA256 of "seconds.body">``: the receiver checks both, and the age."""
    stamp = str(now // 1_000_000_000)
    mac = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


def _post(url: str, alert: PendingAlert, webhooks: Webhooks, now: int) -> None:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    address = _checked_address(host, port, webhooks)
    body = payload(alert)
    headers = {
        "content-type": "application/json",
        EVENT: alert.event_id,
        "host": parts.netloc.rpartition("@")[2],
    }
    if webhooks.secret:
        headers[SIGNATURE] = signature(webhooks.secret, body, now)
    # To the address that was checked, so that a name cannot point elsewhere a moment later.
    pinned = f"[{address}]" if ":" in address else address
    target = parts._replace(netloc=f"{pinned}:{port}").geturl()
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
            answer = client.post(target, content=body, headers=headers, extensions={"sni_hostname": host})
    except httpx.HTTPError as broken:
        raise NotDelivered(f"{type(broken).__name__}: {broken}") from broken
    if answer.is_success:
        return
    permanent = answer.status_code < 500 and answer.status_code not in (408, 425, 429)
    raise NotDelivered(f"HTTP {answer.status_code}", permanent=permanent)


def _checked_address(host: str, port: int, webhooks: Webhooks) -> str:
    try:
        addresses = (webhooks.resolve or _resolve)(host, port)
    except OSError as wrong:
        raise NotDelivered(f"{host} has no address: {wrong}") from wrong
    for address in addresses:
        if not webhooks.allow_private and not ipaddress.ip_address(address).is_global:
            raise NotDelivered(f"{host} is {address}, inside the network: not allowed", permanent=True)
    if not addresses:
        raise NotDelivered(f"{host} has no address")
    return addresses[0]


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def _notify(url: str, alert: PendingAlert) -> None:
    import apprise  # late: it knows a hundred services, and most deployments use one

    notifier: Any = apprise.Apprise()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its plug-ins import
        known = notifier.add(url)
    if not known:
        raise NotDelivered("Apprise does not know this kind of URL", permanent=True)
    kind = {"critical": "failure", "warning": "warning"}.get(alert.severity, "info")
    if not notifier.notify(title=alert.title, body=alert.message or alert.title, notify_type=kind):
        raise NotDelivered("the service did not take it")
