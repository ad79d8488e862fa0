"""`spanledger alert`: send a test alert to a channel, silence or acknowledge alerts."""

from __future__ import annotations

import argparse
import os
import sys
import time

from spanledger_collector.store.settings import load_settings
from spanledger_workers.settings import WorkerSettings

from .channels import NotDelivered, Webhooks, deliver, trial_alert


def command(argv: list[str]) -> int:
    """0 when it was done, 1 when the channel did not take the alert (it says why), 2 for wrong words."""
    parser = argparse.ArgumentParser(prog="spanledger alert", description=__doc__)
    words = parser.add_subparsers(dest="word", required=True)
    test = words.add_parser("test", help="send a test alert to a channel now")
    test.add_argument("channel", help="name of the variable that holds the channel's URL")
    for word, told in (
        ("silence", "send nothing of an alert for a while"),
        ("unsilence", "send it again"),
        ("ack", "do not tell an alert again while it fires"),
    ):
        made = words.add_parser(word, help=told)
        made.add_argument(
            "key", help="dedup key of the alert, as in alert:NAME; with * at its end all that begin so"
        )
        made.add_argument("--project", default=os.environ.get("SPANLEDGER_PROJECT") or "default")
        made.add_argument("--reason", default="")
        if word == "silence":
            made.add_argument("--minutes", type=float, default=60)
    given = parser.parse_args(argv)
    settings = load_settings(WorkerSettings)
    return _test(given.channel, settings) if given.word == "test" else _quiet(given, settings)


def _test(channel: str, settings: WorkerSettings) -> int:
    url, now = os.environ.get(channel, ""), time.time_ns()
    if not url:
        print(
            f"the variable {channel} is not set: a channel is the name of a variable, not a URL",
            file=sys.stderr,
        )
        return 2
    webhooks = Webhooks(secret=settings.webhook_secret, allow_private=settings.webhook_allow_private)
    try:
        deliver(url, trial_alert(now), webhooks, now)
    except NotDelivered as failed:
        print(f"{channel} did not take the test alert: {failed}", file=sys.stderr)
        return 1
    print(f"{channel} took the test alert")
    return 0


def _quiet(given: argparse.Namespace, settings: WorkerSettings) -> int:
    from spanledger_collector.store.actions import acknowledge, end_silence, silence
    from spanledger_collector.store.client import connect

    now, store = time.time_ns(), connect(settings)
    author = os.environ.get("USER") or "command line"
    if given.word == "silence":
        until = now + round(given.minutes * 60e9)
        try:
            told = silence(
                store, project=given.project, dedup_key=given.key, until=until, author=author, now=now,
                reason=given.reason,
            )  # fmt: skip
        except ValueError as wrong:
            print(f"spanledger alert silence: {wrong}", file=sys.stderr)
            return 2
    elif given.word == "ack":
        told = acknowledge(
            store, project=given.project, dedup_key=given.key, author=author, now=now, reason=given.reason
        )
    else:
        told = end_silence(store, project=given.project, dedup_key=given.key, author=author, now=now)
    print(told.title)
    return 0
