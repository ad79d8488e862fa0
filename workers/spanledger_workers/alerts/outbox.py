"""Alerts of the trail and channels in; each alert sent at least once to each, and recorded as sent, out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spanledger.records import Event
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.alerting import PendingAlert, alerts_since, deliveries_since
from spanledger_collector.store.registry.evaluation import Alert
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers import metrics
from spanledger_workers.audit import event
from spanledger_workers.clock import DAY
from spanledger_workers.memory import Memory

from .channels import NotDelivered, Webhooks, deliver

KEEP_TRYING_NS = DAY
FIRST_WAIT_S = 5
LONGEST_WAIT_S = 900
PER_TICK = 50


@dataclass(frozen=True, slots=True)
class Letter:
    """One alert for one channel; the channel is the name of the variable that holds its URL."""

    channel: str
    alert: PendingAlert


def letters(
    alerts: Iterable[PendingAlert],
    channels_of: Mapping[tuple[str, str], Sequence[str]],
    default: Sequence[str],
    sent: set[tuple[str, str]],
) -> list[Letter]:
    """What is still to be sent: a rule's alerts to its own channels, all others to the default ones."""
    return [
        Letter(channel, alert)
        for alert in alerts
        for channel in channels_of.get((alert.project, alert.dedup_key), default)
        if (channel, alert.event_id) not in sent
    ]


def wait_s(attempts: int) -> int:
    """Seconds until the next attempt after so many: doubled each time, up to a quarter of an hour."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** max(0, attempts - 1))


@dataclass(slots=True, kw_only=True)
class Outbox:
    """Sends what the trail holds and the channels lack; safe to stop at any moment."""

    store: Client
    redis: Memory
    default: Sequence[str]
    webhooks: Webhooks

    def tick(self, rules: Sequence[tuple[str, str, Alert]], now: int) -> list[Event]:
        """Send what is due; returns the deliveries recorded."""
        since = now - KEEP_TRYING_NS
        channels = {
            (project, f"alert:{name}"): rule.channels for project, name, rule in rules if rule.channels
        }
        due = letters(
            alerts_since(self.store, since=since),
            channels,
            self.default,
            deliveries_since(self.store, since=since),
        )
        told: list[Event] = []
        for letter in due[:PER_TICK]:
            done = self._send(letter, now)
            if done is not None:
                insert_events(self.store, [done])  # at once: what is sent must not be sent again
                told.append(done)
        return told

    def _send(self, letter: Letter, now: int) -> Event | None:
        key = f"spanledger:outbox:{letter.channel}:{letter.alert.event_id}"
        if self.redis.get(f"{key}:wait"):
            return None
        url = os.environ.get(letter.channel, "")
        try:
            if not url:
                raise NotDelivered(f"the variable {letter.channel} is not set")
            deliver(url, letter.alert, self.webhooks, now)
        except NotDelivered as failed:
            metrics.DELIVERIES.labels(letter.channel, "failed" if failed.permanent else "later").inc()
            if failed.permanent:
                return _delivery(letter, "failed", str(failed), now)
            pipe = self.redis.pipeline()
            pipe.incr(key)
            pipe.expire(key, KEEP_TRYING_NS // 10**9)
            attempts = int(pipe.execute()[0])
            self.redis.set(f"{key}:wait", str(failed)[:200], ex=wait_s(attempts))
            return None
        metrics.DELIVERIES.labels(letter.channel, "sent").inc()
        return _delivery(letter, "sent", "", now)


def _delivery(letter: Letter, state: str, why: str, now: int) -> Event:
    return event(
        "delivery",
        project=letter.alert.project,
        subject=letter.channel,
        time=now,
        title=f"{letter.alert.title}: {state} to {letter.channel}",
        message=why,
        severity="info" if state == "sent" else "warning",
        state=state,
        dedup_key=letter.alert.event_id,
        identity=("delivery", letter.channel, letter.alert.event_id),
    )
