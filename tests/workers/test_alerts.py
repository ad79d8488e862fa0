"""Alerts: a rule fires once and resolves once; each alert reaches each channel once, whatever the channel does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from spanledger.records import Score
from spanledger_collector.store.actions import silence
from spanledger_collector.store.reads.alerting import Measured, PendingAlert
from spanledger_collector.store.reads.evaluation import LastState
from spanledger_collector.store.registry.evaluation import Alert
from spanledger_collector.store.writes_evaluation import insert_events, insert_scores
from spanledger_workers.alerts.channels import (
    EVENT,
    SIGNATURE,
    NotDelivered,
    Webhooks,
    deliver,
    payload,
    signature,
)
from spanledger_workers.alerts.command import command
from spanledger_workers.alerts.outbox import Outbox, wait_s
from spanledger_workers.alerts.rules import AlertRules, breached, next_state
from spanledger_workers.audit import event
from spanledger_workers.memory import connect_memory

from .conftest import SECOND, World

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


def test_waits_double_up_to_two_minutes() -> None:
    assert [wait_s(n) for n in (1, 2, 3, 20)] == [5, 10, 20, 120]


def seen(value: float, samples: int) -> Measured:
    return Measured(group=(), value=value, samples=samples)


def test_too_few_samples_say_nothing_but_a_sum_speaks_for_itself() -> None:
    rate = Alert(metric="error_rate", op=">", threshold=0.1, min_samples=20)
    assert breached(rate, seen(1.0, 3)) == "no data"
    assert breached(rate, seen(0.2, 20)) == "breached"
    silent = Alert(metric="calls", op="<", threshold=1, min_samples=20)
    assert breached(silent, seen(0, 0)) == breached(silent, None) == "breached"


def last(state: str, time: int) -> LastState:
    return LastState(
        subject="x", dedup_key="alert:x", state=state, event_id="e", time=time, message="", evidence=""
    )


def test_what_no_data_means_is_the_rules_choice() -> None:
    for choice, before, told in (
        ("keep", "firing", None), ("alert", "", "firing"), ("resolve", "firing", "resolved"), ("alert", "firing", None),
    ):  # fmt: skip
        rule = Alert.model_validate({"metric": "error_rate", "threshold": 0.1, "no_data": choice})
        found = next_state(rule, "no data", last(before, 0) if before else None, quiet=False, now=10**9)
        assert found == told, choice


def test_a_firing_alert_is_told_again_as_often_as_asked_unless_somebody_is_at_it() -> None:
    rule = Alert(metric="error_rate", threshold=0.1, renotify_s=600)
    since = last("firing", 0)
    minute = 60 * 10**9
    assert next_state(rule, "breached", since, quiet=False, now=9 * minute) is None
    assert next_state(rule, "breached", since, quiet=False, now=10 * minute) == "firing"
    assert next_state(rule, "breached", since, quiet=True, now=10 * minute) is None
    assert next_state(rule, "fine", since, quiet=True, now=10 * minute) == "resolved"
    once = Alert(metric="error_rate", threshold=0.1)
    assert next_state(once, "breached", since, quiet=False, now=10**6 * minute) is None


def test_an_alert_goes_to_receivers_built_for_alertmanager(receiver: Receiver) -> None:
    deliver(f"alertmanager+{receiver.url}", ALERT, Webhooks(allow_private=True), NOW)
    _, body = receiver.taken[0]
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "spanledger")
    (one,) = body["alerts"]
    assert one["labels"]["alertname"] == "answers"
    assert one["annotations"]["summary"] == "Quality fell"
    assert (one["fingerprint"], one["endsAt"]) == ("e1", "0001-01-01T00:00:00Z")
    assert {*body} == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
        "commonAnnotations", "externalURL", "alerts",
    }  # fmt: skip


@pytest.mark.parametrize("url", ["json://10.0.0.1/x", "http:///x", "https://host:port/"])
def test_a_url_that_would_go_unsigned_or_nowhere_is_refused_for_good(url: str) -> None:
    with pytest.raises(NotDelivered) as refused:
        deliver(url, ALERT, Webhooks(allow_private=True), NOW)
    assert refused.value.permanent


def test_a_channel_can_be_tried(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEST_HOOK", receiver.url)
    assert command(["test", "TEST_HOOK"]) == 1  # inside the network
    assert "not allowed" in capsys.readouterr().err
    monkeypatch.setenv("SPANLEDGER_WEBHOOK_ALLOW_PRIVATE", "true")
    assert command(["test", "TEST_HOOK"]) == 0
    assert receiver.taken[0][1]["title"] == "Test of this channel"
    assert command(["test", "NO_SUCH_VARIABLE"]) == 2


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
@pytest.mark.broker
def test_silenced_alerts_are_not_sent_and_old_ones_do_not_hide_new_ones(
    world: World, redis_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanledger_workers.alerts.outbox.PAGE", 3)
    monkeypatch.setenv("TEST_HOOK", receiver.url)
    now = time.time_ns()
    keys = [f"alert:slow:user_id={n}" for n in range(5)] + ["alert:slower", "budget:b"]
    made = [
        event("alert", project="shop", subject=key.split(":")[1], time=now + n, title=key, dedup_key=key)
        for n, key in enumerate(keys)
    ]
    insert_events(world.client, made)
    silence(world.client, project="shop", dedup_key="alert:slow:*", until=now + 10**12, author="ada", now=now)
    outbox = Outbox(
        store=world.client,
        redis=connect_memory(redis_url),
        default=["TEST_HOOK"],
        webhooks=Webhooks(allow_private=True),
    )
    told = outbox.tick([], time.time_ns())
    assert sorted(body["title"] for _, body in receiver.taken) == ["alert:slower", "budget:b"]
    assert sorted(one.state for one in told) == ["sent"] * 2 + ["silenced"] * 5
    assert outbox.tick([], time.time_ns()) == []


@pytest.mark.clickhouse
def test_a_rule_over_real_calls_fires_once_and_resolves_once(world: World) -> None:
    rules = [
        ("shop", "errors", Alert(metric="error_rate", op=">", threshold=0.2, min_samples=5, window_s=60)),
        ("shop", "dear", Alert(metric="cost_usd", op=">", threshold=1.0, scope={"team": "search"})),
        ("shop", "odd", Alert(metric="no_such_metric", threshold=1)),
    ]
    now = time.time_ns()
    world.insert(
        [
            world.call(start_time=now - 10 * SECOND, status=status, team="search", cost_total=Decimal("0.2"))
            for status in ["error", "ok"] * 5
        ]
    )
    alerts = AlertRules(store=world.client)
    told = alerts.tick(rules, now)
    assert [(e.subject, e.state) for e in told] == [
        ("errors", "firing"),
        ("dear", "firing"),
        ("odd", "invalid"),
    ]
    assert "0.5 over 10 samples" in told[0].message
    assert alerts.tick(rules, now + 1) == []
    world.insert([world.call(start_time=now, team="other") for _ in range(40)])
    later = alerts.tick(rules, now + 30 * 10**9)
    assert [(e.subject, e.state) for e in later] == [("errors", "resolved")]


@pytest.mark.clickhouse
def test_each_user_team_and_model_has_an_alert_of_its_own(world: World) -> None:
    now = time.time_ns()
    slow = [world.call(start_time=now - SECOND, user_id="bo", duration_ns=9 * SECOND) for _ in range(20)]
    fast = [world.call(start_time=now - SECOND, user_id="ada", team="search") for _ in range(20)]
    world.insert([*slow, *fast])
    rows = [
        Score(
            project="shop", score_id=f"s{n}", trace_id=call.trace_id, span_id=call.span_id, name="groundedness",
            value=0.1 if call.user_id == "bo" else 0.9, time=call.start_time, created_at=now, route="answers",
        )
        for n, call in enumerate([*slow, *fast])
    ]  # fmt: skip
    insert_scores(world.client, rows)
    by_user = {"by": ["user_id"], "min_samples": 10, "window_s": 60}
    rules = [
        ("shop", "slow", Alert.model_validate({"metric": "latency_p95_s", "threshold": 5, **by_user})),
        ("shop", "bad", Alert.model_validate({"metric": "score:groundedness", "op": "<", "threshold": 0.5, **by_user})),
        ("shop", "pair", Alert.model_validate({"metric": "calls", "threshold": 15, "by": ["team", "request_model"]})),
        ("shop", "route", Alert.model_validate(
            {"metric": "score:groundedness", "op": "<", "threshold": 0.6, "scope": {"route": "answers"}}
        )),
    ]  # fmt: skip
    alerts = AlertRules(store=world.client)
    told = alerts.tick(rules, now)
    assert sorted(one.dedup_key for one in told) == [
        "alert:bad:user_id=bo",
        "alert:pair:team=,request_model=gpt-4o",
        "alert:pair:team=search,request_model=gpt-4o",
        "alert:route",
        "alert:slow:user_id=bo",
    ]
    world.insert([world.call(start_time=now, user_id="bo") for _ in range(400)])
    later = alerts.tick(rules[:1], now + SECOND)
    assert [(one.dedup_key, one.state) for one in later] == [("alert:slow:user_id=bo", "resolved")]
