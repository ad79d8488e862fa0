"""How each target has been doing: outcomes in, whether it may be asked now out.

A target cools down after failures, connection errors included; when its time is over one call may probe
it (half-open) while all others still pass it by. Pure: the time comes in as seconds of any steady clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half_open"]
"""``closed`` is healthy, ``open`` is cooling down, ``half_open`` is ready for one probe."""

CONSECUTIVE_FAILURES = 3
FAILURE_SHARE = 0.5
MIN_CALLS = 10
FIRST_COOLDOWN_S = 5.0
LONGEST_COOLDOWN_S = 60.0
PROBE_LIMIT_S = 120.0
"""After this long a probe that never reported counts as lost and another may go."""

_WEIGHT = 0.1  # of the newest call in the moving share of failures


@dataclass(slots=True)
class Health:
    """One target's record."""

    share: float = 0.0  # moving share of failures
    calls: int = 0
    in_a_row: int = 0
    trips: int = 0  # cooldowns since it last worked
    open_until: float = 0.0
    probing_since: float | None = None


class HealthBook:
    """The records of all targets, by name."""

    def __init__(self) -> None:
        self._targets: dict[str, Health] = {}

    def state(self, target: str, now: float) -> State:
        """Whether the target may be asked."""
        health = self._targets.get(target)
        if health is None or health.trips == 0:
            return "closed"
        if now < health.open_until:
            return "open"
        probing = health.probing_since is not None and now - health.probing_since < PROBE_LIMIT_S
        return "open" if probing else "half_open"

    def badness(self, target: str, now: float) -> tuple[float, float]:
        """Orders targets that all cool down: the one that will be ready first, then fails least."""
        health = self._targets.get(target)
        return (max(0.0, health.open_until - now), health.share) if health else (0.0, 0.0)

    def begin(self, target: str, now: float) -> None:
        """A call goes to the target; if it was half-open, this call is its probe."""
        if self.state(target, now) == "half_open":
            self._targets[target].probing_since = now

    def succeeded(self, target: str) -> None:
        """The call worked: a cooldown ends."""
        health = self._targets.get(target)
        if health is None:
            health = self._targets[target] = Health()
        health.calls += 1
        health.share *= 1 - _WEIGHT
        health.in_a_row = 0
        if health.trips:
            self._targets[target] = Health()

    def failed(self, target: str, now: float, retry_after_s: float | None = None) -> None:
        """The call failed through the target's fault; a Retry-After starts a cooldown of that length."""
        health = self._targets.setdefault(target, Health())
        health.calls += 1
        health.share += (1 - health.share) * _WEIGHT
        health.in_a_row += 1
        was_probe = health.probing_since is not None
        health.probing_since = None
        failing = health.calls >= MIN_CALLS and health.share > FAILURE_SHARE
        if retry_after_s or was_probe or failing or health.in_a_row >= CONSECUTIVE_FAILURES:
            self._cool(health, now, retry_after_s)

    def abandoned(self, target: str) -> None:
        """The call ended without a verdict on the target, for instance because the caller went away."""
        health = self._targets.get(target)
        if health is not None:
            health.probing_since = None

    def snapshot(self, now: float) -> dict[str, State]:
        """The state of every target that was ever asked."""
        return {name: self.state(name, now) for name in self._targets}

    @staticmethod
    def _cool(health: Health, now: float, retry_after_s: float | None) -> None:
        if now < health.open_until and not retry_after_s:
            return  # calls that were already on their way must not prolong a cooldown
        wait = min(LONGEST_COOLDOWN_S, FIRST_COOLDOWN_S * 2**health.trips)
        if retry_after_s:
            wait = min(LONGEST_COOLDOWN_S, retry_after_s)
        health.trips = min(health.trips + 1, 10)
        health.open_until = now + wait
