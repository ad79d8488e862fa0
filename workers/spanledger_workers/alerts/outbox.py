"""Alerts of the trail and channels in; each alert sent at least once to each, and recorded as sent, out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from spanledger.records import Event
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.alerting import (
    PendingAlert,
    Quiet,
    alerts_since,
    deliveries_since,
    quiet_since,
)
from spanledger_collector.store.registry.evaluation import Alert
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers import metrics
from spanledger_workers.audit import event
from spanledger_workers.clock import DAY, MINUTE
from spanledger_workers.memory import Memory

from .channels import NotDelivered, Webhooks, deliver

KEEP_TRYING_NS = DAY
FIRST_WAIT_S = 5
LONGEST_WAIT_S = 120
PER_TICK = 200
AT_ONCE = 8
PAGE = 1000
SETTLED = "spanledger:outbox:settled"
"""Redis: up to when (ns) every alert has reached every channel, so that a tick need not look further back."""
_LATE_NS = 10 * MINUTE  # an event becomes visible after the time it is stamped with
_SILENCES_NS = 31 * DAY

Channels = Mapping[tuple[str, str], Sequence[str]]
"""By project and name of a rule: where its alerts go."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One alert for one channel; the channel is the name of the variable that holds its URL."""

    channel: str
    alert: PendingAlert


def letters(
    alerts: Iterable[PendingAlert], channels_of: Channels, default: Sequence[str], sent: set[tuple[str, str]]
) -> list[Letter]:
    """What is still to be sent: a rule's alerts to its own channels, all others to the default ones."""
    return [
        Letter(channel, alert)
        for alert in alerts
        for channel in _channels(alert, channels_of, default)
        if (channel, alert.event_id) not in sent
    ]


def _channels(alert: PendingAlert, channels_of: Channels, default: Sequence[str]) -> Sequence[str]:
    key = f"alert:{alert.subject}"
    of_a_rule = alert.dedup_key == key or alert.dedup_key.startswith(f"{key}:")
    return channels_of.get((alert.project, alert.subject), default) if of_a_rule else default


def wait_s(attempts: int) -> int:
    """Seconds until the next attempt after so many: doubled each time, up to two minutes."""
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
        channels = {(project, name): rule.channels for project, name, rule in rules if rule.channels}
        oldest = now - KEEP_TRYING_NS
        since = max(oldest, int(self.redis.get(SETTLED) or 0) - _LATE_NS)
        sent = deliveries_since(self.store, since=since)
        silences = [
            one
            for one in quiet_since(self.store, since=now - _SILENCES_NS)
            if one.state == "silenced" and one.until > now
        ]
        told: list[Event] = []
        settled, after = now, (0, "")
        while len(told) < PER_TICK:
            page = alerts_since(self.store, since=since, after=after, limit=PAGE)
            waiting = letters(page, channels, self.default, sent)
            for start in range(0, len(waiting), AT_ONCE):
                batch = waiting[start : start + AT_ONCE]
                done = self._send_all(batch, silences, now)
                insert_events(self.store, done)  # at once: what is sent must not be sent again
                told += done
                if len(done) < len(batch):
                    settled = min(settled, *(letter.alert.time for letter in batch))
            if len(page) < PAGE:
                self.redis.set(SETTLED, settled)
                break
            after = (page[-1].time, page[-1].event_id)
        return told

    def _send_all(self, batch: Sequence[Letter], silences: Sequence[Quiet], now: int) -> list[Event]:
        with ThreadPoolExecutor(AT_ONCE) as threads:  # a channel that hangs holds up no other
            futures = [threads.submit(self._send, letter, silences, now) for letter in batch]
        return [done for future in futures if (done := future.result()) is not None]

    def _send(self, letter: Letter, silences: Sequence[Quiet], now: int) -> Event | None:
        alert = letter.alert
        if any(one.covers(alert.project, alert.dedup_key) for one in silences):
            metrics.DELIVERIES.labels(letter.channel, "silenced").inc()
            return _delivery(letter, "silenced", "", now)
        key = f"spanledger:outbox:{letter.channel}:{alert.event_id}"
        if self.redis.get(f"{key}:wait"):
            return None
        url = os.environ.get(letter.channel, "")
        try:
            if not url:
                raise NotDelivered(f"the variable {letter.channel} is not set")
            deliver(url, alert, self.webhooks, now)
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
        severity="warning" if state == "failed" else "info",
        state=state,
        dedup_key=letter.alert.event_id,
        identity=("delivery", letter.channel, letter.alert.event_id),
    )
