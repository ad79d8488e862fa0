"""What one stand-in server remembers: its behaviour, the calls it got, its counts and its engine."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from typing import Any

from spanledger.testing.model_server.behaviour import Behaviour, Call
from spanledger.testing.model_server.metrics import EngineMetrics
from spanledger.testing.model_server.tokens import PrefixCache

KEPT_CALLS = 10_000


class State:
    """Shared by the handlers and the control; safe to read and change from any thread."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._lock = threading.Lock()
        self._initial = behaviour
        self.behaviour = behaviour
        self.calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self.running: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()
        self.kv_tokens: Counter[str] = Counter()
        self.prefixes = PrefixCache()
        self.metrics = EngineMetrics()
        self._numbers = 0
        self._failed = 0
        for model in behaviour.models:
            self.metrics.declare(model)

    def change(self, changes: dict[str, Any]) -> Behaviour:
        """Change some settings; a new error setting fails afresh ``error_times`` times.

        Raises:
            ValueError: names the setting and what is allowed.
        """
        with self._lock:
            self.behaviour = self.behaviour.changed(changes)
            if changes.keys() & {"error_status", "error_times", "error_rate", "fault"}:
                self._failed = 0
            return self.behaviour

    def reset(self) -> None:
        """Back to the behaviour at the start, with no calls remembered; engine counters stay."""
        with self._lock:
            self.behaviour = self._initial
            self._failed = 0
            self.calls.clear()

    def admit(self, call: Call) -> None:
        """Number a call and remember it."""
        with self._lock:
            self._numbers += 1
            call.number = self._numbers
            self.calls.append(call)

    def fails(self, call: Call, behaviour: Behaviour) -> bool:
        """Whether this call is one that gets the configured error or fault."""
        if not behaviour.error_status and not behaviour.fault:
            return False
        with self._lock:
            if behaviour.error_times and self._failed >= behaviour.error_times:
                return False
            drawn = random.Random(f"{behaviour.seed}:error:{call.number}").random()
            self._failed += drawn < behaviour.error_rate
            return drawn < behaviour.error_rate

    def counts(self) -> dict[str, int]:
        """Calls so far: all, by how they ended, and those still open."""
        ended = Counter(call.outcome for call in list(self.calls))
        return {"requests": sum(ended.values()), **ended}

    def show_load(self, model: str) -> None:
        """Set the engine's gauges from what runs and waits now."""
        self.metrics.load(model, self.running[model], self.waiting[model], self.kv_tokens[model])
