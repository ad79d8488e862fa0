"""Alerts: rules are measured, and channels get what they have not got yet."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from spanledger.records import Event
from spanledger_workers.alerts.channels import Webhooks
from spanledger_workers.alerts.outbox import Outbox
from spanledger_workers.alerts.rules import AlertRules
from spanledger_workers.current import process
from spanledger_workers.ticks import Did, tick

log = logging.getLogger("spanledger.worker")


@tick("alerts", 5)
def alerts() -> Did:
    """Measure alert rules and write what changed into the trail."""
    rules = [(row.project, row.name, row.document) for row in process.documents().alerts]
    told = AlertRules(store=process.store).tick(rules, process.clock())
    log_events(told)
    return {"rules": len(rules), "events": len(told)}


@tick("outbox", 5, longest_s=120)
def outbox() -> Did:
    """Send the channels what they have not got yet."""
    settings = process.settings
    rules = [(row.project, row.name, row.document) for row in process.documents().alerts]
    if not settings.channels and not any(rule.channels for _, _, rule in rules):
        return {}
    webhooks = Webhooks(secret=settings.webhook_secret, allow_private=settings.webhook_allow_private)
    sender = Outbox(store=process.store, redis=process.redis, default=settings.channels, webhooks=webhooks)
    return {"delivered": len(sender.tick(rules, process.clock()))}


def log_events(events: Sequence[Event]) -> None:
    """Say in the log what was written into the trail."""
    for told in events:
        if told.kind != "alert":  # its cause is told beside it
            log.warning("%s: %s", told.title, told.message)
