"""Alerts: a rule fires once and resolves once; each alert reaches each channel once, whatever the channel does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from spanledger_collector.store.reads.alerting import PendingAlert
from spanledger_collector.store.registry.evaluation import Alert
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers.alerts.channels import (
    EVENT,
    SIGNATURE,
    NotDelivered,
    Webhooks,
    deliver,
    payload,
    signature,
)
from spanledger_workers.alerts.outbox import Outbox, wait_s
from spanledger_workers.alerts.rules import AlertRules, Measurement, breached
from spanledger_workers.audit import event
from spanledger_workers.memory import connect_memory

from .conftest import World

NOW = time.time_ns()
ALERT = PendingAlert(
    project="shop",
    event_id="e1",
    time=NOW,
    severity="critical",
    subject="answers",
    title="Quality fell",
    message="mean 0.5",
    evidence="",
    dedup_key="quality:answers",
    state="firing",
)


class Receiver:
    """A webhook receiver that fails every other request."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.asked = 0
        self.flaky = False
        self.redirect = ""
        self.url = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.asked += 1
            failing = made.flaky and made.asked % 2 == 1
            if not failing and not made.redirect:
                made.taken.append(({k.lower(): v for k, v in self.headers.items()}, json.loads(body)))
            self.send_response(302 if made.redirect else 503 if failing else 204)
            if made.redirect:
                self.send_header("location", made.redirect)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_is_signed_so_that_the_receiver_can_check_it(receiver: Receiver) -> None:
    deliver(receiver.url, ALERT, Webhooks(secret="s3cret", allow_private=True), NOW)
    headers, body = receiver.taken[0]
    assert headers[EVENT] == "e1"
    assert headers[SIGNATURE] == signature("s3cret", payload(ALERT), NOW)
    assert (body["title"], body["dedup_key"]) == ("Quality fell", "quality:answers")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "0.0.0.0"])
def test_a_webhook_never_goes_inside_the_network(receiver: Receiver, address: str) -> None:
    webhooks = Webhooks(resolve=lambda host, port: [address])
    with pytest.raises(NotDelivered, match="inside the network") as refused:
        deliver("https://hooks.example.com/x", ALERT, webhooks, NOW)
    assert refused.value.permanent
    assert receiver.asked == 0


def test_a_webhook_follows_no_redirect(receiver: Receiver) -> None:
    receiver.redirect = "http://169.254.169.254/latest"
    with pytest.raises(NotDelivered, match="302"):
        deliver(receiver.url, ALERT, Webhooks(allow_private=True), NOW)


def test_an_apprise_url_nobody_knows_is_refused_for_good() -> None:
    with pytest.raises(NotDelivered) as refused:
        deliver("nonsense://x", ALERT, Webhooks(), NOW)
    assert refused.value.permanent


def test_waits_double_up_to_a_quarter_of_an_hour() -> None:
    assert [wait_s(n) for n in (1, 2, 3, 20)] == [5, 10, 20, 900]


def test_too_few_samples_say_nothing_but_a_sum_speaks_for_itself() -> None:
    rate = Alert(metric="error_rate", op=">", threshold=0.1, min_samples=20)
    assert breached(rate, Measurement(1.0, 3)) is None
    assert breached(rate, Measurement(0.2, 20)) is True
    silent = Alert(metric="calls", op="<", threshold=1, min_samples=20)
    assert breached(silent, Measurement(0, 0)) is True


@pytest.mark.clickhouse
@pytest.mark.broker
def test_each_alert_reaches_a_channel_once_though_it_fails_half_the_time(
    world: World, redis_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_HOOK", receiver.url)
    receiver.flaky = True
    now = time.time_ns()
    made = [
        event("alert", project="shop", subject=f"s{n}", time=now + n, title=f"a{n}", state="firing")
        for n in range(10)
    ]
    insert_events(world.client, made)
    redis = connect_memory(redis_url)
    outbox = Outbox(
        store=world.client, redis=redis, default=["TEST_HOOK"], webhooks=Webhooks(allow_private=True)
    )
    sent = outbox.tick([], time.time_ns())
    for entry in made:  # the waits are over
        redis.delete(f"spanledger:outbox:TEST_HOOK:{entry.event_id}:wait")
    for _ in range(6):
        sent += outbox.tick([], time.time_ns())
        for entry in made:
            redis.delete(f"spanledger:outbox:TEST_HOOK:{entry.event_id}:wait")
    assert len(sent) == 10
    assert sorted(headers[EVENT] for headers, _ in receiver.taken) == sorted(entry.event_id for entry in made)
    assert outbox.tick([], time.time_ns()) == []


@pytest.mark.clickhouse
def test_a_rule_over_real_calls_fires_once_and_resolves_once(world: World) -> None:
    rules = [
        ("shop", "errors", Alert(metric="error_rate", op=">", threshold=0.2, min_samples=5, window_s=60)),
        ("shop", "dear", Alert(metric="cost_usd", op=">", threshold=1.0, scope={"team": "search"})),
        ("shop", "odd", Alert(metric="no_such_metric", threshold=1)),
    ]
    now = time.time_ns()
    for n in range(10):
        world.rag_call(start=now - 10 * 10**9, status="error" if n < 5 else "ok", team="search", cost="0.2")
    alerts = AlertRules(store=world.client)
    told = alerts.tick(rules, now)
    assert [(e.subject, e.state) for e in told] == [
        ("errors", "firing"),
        ("dear", "firing"),
        ("odd", "invalid"),
    ]
    assert "0.5 over 10 samples" in told[0].message
    assert alerts.tick(rules, now + 1) == []
    for _ in range(40):
        world.rag_call(start=now, team="other")
    later = alerts.tick(rules, now + 30 * 10**9)
    assert [(e.subject, e.state) for e in later] == [("errors", "resolved")]
