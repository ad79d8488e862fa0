"""Tells the viewer in the terminal what happens: acts, events of the audit trail and refused calls in, lines out."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from contextlib import suppress

from openai import APIError, APIStatusError

from .backstage import Collector

POLL_S = 2.0
KINDS = ("route_switch", "budget_step", "alert")


class Narrator:
    """Prints lines with the time since the demo's start."""

    def __init__(self, collector: Collector, dashboard_url: str) -> None:
        self._collector = collector
        self._dashboard = dashboard_url
        self._began = time.monotonic()
        self._since_ns = time.time_ns()
        self._told: set[str] = set()
        self._polled = 0.0
        self._refused: set[str] = set()
        self._lock = threading.Lock()

    def open(self, source: str) -> None:
        """What this is."""
        self.say(f"questions and answers: {source}")
        if self._dashboard:
            self.say(f"watch it on {self._dashboard} (the link with the key is above or in the home)")

    def say(self, text: str) -> None:
        """One line."""
        print(f"demo {time.monotonic() - self._began:5.0f} s  {text}", flush=True)

    def report(self) -> None:
        """New alerts, switches and budget steps, as the ledger recorded them."""
        now = time.monotonic()
        if now - self._polled < POLL_S:
            return
        self._polled = now
        with suppress(OSError):  # a collector that restarts is the supervisor's story
            for event in self._collector.events_since(self._since_ns):
                if event["kind"] in KINDS and event["event_id"] not in self._told:
                    self._told.add(event["event_id"])
                    self.say(f"[{event['kind']}] {event['title']}: {event['message']}")

    def note(self, call: Future[str]) -> None:
        """The first of each kind of refusal."""
        error = call.exception()
        if error is None:
            return
        kind = f"{error.status_code}" if isinstance(error, APIStatusError) else type(error).__name__
        with self._lock:
            new = kind not in self._refused
            self._refused.add(kind)
        if new:
            told = error.message if isinstance(error, APIError) else str(error)
            self.say(f"[call refused] {kind}: {told}")
