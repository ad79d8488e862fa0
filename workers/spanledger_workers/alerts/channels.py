"""One alert and a channel's URL in; the alert delivered, or the reason why not, out.

``http(s)://`` is a webhook of ours: JSON, signed, no redirects, and never to an address inside the
network unless that is allowed; ``alertmanager+http(s)://`` the same with the body that Alertmanager would post.
Everything else is an Apprise URL (Slack, Teams, PagerDuty, mail, ...).
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
from urllib.parse import unquote, urlsplit

import httpx

from spanledger_collector.store.reads.alerting import PendingAlert

from . import alertmanager

TIMEOUT_S = 10.0
SIGNATURE = "x-spanledger-signature"
EVENT = "x-spanledger-event"
ALERTMANAGER = "alertmanager+"
_OWN_REQUESTS = frozenset({"json", "jsons", "xml", "xmls", "form", "forms", "apprise", "apprises"})
"""Apprise's generic webhooks: they would go anywhere, unsigned."""


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
        _post(url, alert, payload(alert), webhooks, now)
    elif url.startswith((f"{ALERTMANAGER}http://", f"{ALERTMANAGER}https://")):
        _post(url.removeprefix(ALERTMANAGER), alert, alertmanager.payload(alert, "spanledger"), webhooks, now)
    elif url.partition("://")[0].lower() in _OWN_REQUESTS:
        raise NotDelivered("write a webhook as http(s)://, so that it is signed and checked", permanent=True)
    else:
        _notify(url, alert)


def trial_alert(now: int) -> PendingAlert:
    """What ``spanledger alert test`` sends."""
    return PendingAlert(
        project="",
        event_id=f"test-{now}",
        time=now,
        severity="info",
        subject="test",
        title="Test of this channel",
        message="Spanledger can reach you here. Nothing happened.",
        evidence="",
        dedup_key=f"test:{now}",
        state="firing",
    )


def payload(alert: PendingAlert) -> bytes:
    """The alert as a webhook's JSON body; times in ns, ids as in ``events``."""
    return json.dumps(asdict(alert), ensure_ascii=False, sort_keys=True).encode()


def signature(secret: str, body: bytes, now: int) -> str:
    """``t=<seconds>,v1=<hex HMAC-SHA256 of "seconds.body">``: the receiver checks both, and the age."""
    stamp = str(now // 1_000_000_000)
    mac = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


def _post(url: str, alert: PendingAlert, body: bytes, webhooks: Webhooks, now: int) -> None:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as wrong:
        raise NotDelivered(f"the URL is none: {wrong}", permanent=True) from wrong
    address = _checked_address(host, port, webhooks)
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
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, auth=auth) as client,
            # As a stream: of the answer nothing is read but its status.
            client.stream(
                "POST", target, content=body, headers=headers, extensions={"sni_hostname": host}
            ) as answer,
        ):
            pass
    except httpx.HTTPError as broken:
        raise NotDelivered(f"{type(broken).__name__}: {broken}") from broken
    if answer.is_success:
        return
    permanent = answer.status_code < 500 and answer.status_code not in (408, 425, 429)
    raise NotDelivered(f"HTTP {answer.status_code}", permanent=permanent)


def _checked_address(host: str, port: int, webhooks: Webhooks) -> str:
    if not host:
        raise NotDelivered("the URL names no host", permanent=True)
    try:
        addresses = (webhooks.resolve or _resolve)(host, port)
    except OSError as wrong:
        raise NotDelivered(f"{host} has no address: {wrong}") from wrong
    for address in addresses:
        if not webhooks.allow_private and not _is_outside(address):
            raise NotDelivered(f"{host} is {address}, inside the network: not allowed", permanent=True)
    if not addresses:
        raise NotDelivered(f"{host} has no address")
    return addresses[0]


def _is_outside(address: str) -> bool:
    """Whether an address is a public one, also where IPv6 wraps IPv4."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    return found.is_global


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
