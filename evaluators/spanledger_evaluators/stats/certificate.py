"""Checked hits of a cache one by one in; the loosest similarity threshold that is certified, out.

The claim: with confidence 1 - alpha, at most a share ``allowed`` of the hits at the threshold are wrong. It holds
at every look, for whichever threshold of the grid is chosen at whatever time:

- each threshold has its own evidence (``wrong_rate``) from the checks at or above it;
- thresholds are tested from strict to loose by the fallback procedure (Wiens 2003): a few of them start with a share
  of alpha, and one that is certified hands its share on to the next looser one. So a finer grid costs nothing;
- evidence in vain begins anew, each time with a smaller share of its alpha: all together never pass it.

After that a threshold serves less, never more, than it is certified for. Each wrong check raises an alarm (Page's
CUSUM of 1954: twice the allowed rate against half of it) which right ones lower; while it is up the threshold is
paused: its would-be hits are checked and not served, so a drift costs about as many wrong hits as one audit stands for. An alarm that grows ends the certificate: the window then begins where the alarm did. And the window forgets:
its oldest checks are dropped when the later ones certify with a reserve, so that no good past outvotes a drift.

Until the first wrong hit is audited about 1 / share of them have been served. So the share that has to be audited
depends on the room left for wrong hits: all, while hardly any hits were served; the least share, once they were many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .wrong_rate import (
    CLEARED,
    FLAGGED,
    PERFECT,
    SURE,
    Floats,
    Notice,
    gains,
    log_evidence,
    needed,
    upper_bound,
)

Counts = NDArray[np.int64]

STRICTEST = 0.98
STEPS = 29  # thresholds of a grid: steps of 0.01 from 0.98 down to 0.70
START_EVERY = 4  # every fourth starts with a share of alpha
RESERVE = 3.0  # natural log of the evidence beyond what certifies, before the past is forgotten
PATIENCE = 4  # begin anew after so many times the checks that a faultless stream needs
ALARM = 3.5  # natural log of the likelihood ratio that ends a certificate
SURPRISE = 3.0  # with 1 - exp(-3) = 95 % a drift is audited before it has used up the room for wrong hits
_STORED = ("window", "latest", "excursion", "epochs", "alarm")


@dataclass(frozen=True, slots=True)
class Check:
    """One would-be or served hit that was checked.

    ``sure``: known right without a judge; ignored where ``wrong``. ``stands_for``: how many served hits it speaks for
    (1 / the share audited), 0 for one that was not served.
    """

    similarity: float
    wrong: bool
    sure: bool = False
    stands_for: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Where the tier stands. ``threshold``: served from here on, None: closed; ``certified``: the same without pauses.

    Of the certified threshold, or of the one ``nearest`` to it: ``bound`` (greatest wrong rate not excluded), ``checks``
    and ``wrong`` in its window. ``needed``: how many more checks without an error would open the tier; 0 when open.
    """

    threshold: float | None
    certified: float | None
    bound: float
    checks: int
    wrong: int
    needed: int
    nearest: float


class _Tested(NamedTuple):
    levels: list[float]  # of each threshold: its share of alpha
    certified: list[bool]
    logs: Floats  # evidence
    chosen: int | None  # the loosest certified threshold


def grid(lowest: float, *, strictest: float = STRICTEST, steps: int = STEPS) -> tuple[float, ...]:
    """Thresholds from strict to loose, evenly spaced. Raises ValueError unless 0 < lowest < strictest <= 1."""
    if not 0 < lowest < strictest <= 1:
        raise ValueError(f"the lowest similarity {lowest} must lie between 0 and {strictest}")
    step = (strictest - lowest) / (steps - 1)
    return tuple(round(strictest - index * step, 6) for index in range(steps))


@dataclass(slots=True, kw_only=True)
class Certifier:
    """The evidence about one pool of hits; its state is counts, so it is small and can be stored."""

    allowed: float
    thresholds: tuple[float, ...]
    alpha: float = 0.05
    judge: Notice = PERFECT
    window: Counts = field(init=False)  # (thresholds, 3): what the certificate rests on
    latest: Counts = field(init=False)  # what would remain of it if the rest were forgotten
    excursion: Counts = field(init=False)  # since the alarm last stood at 0
    alarm: Floats = field(init=False)
    epochs: Counts = field(init=False)
    room: float = field(init=False, default=0.0)  # wrong hits that may still be served, as far as audits tell
    _starts: Floats = field(init=False)
    _ascending: Floats = field(init=False)
    _gains: Floats = field(init=False)
    _steps: tuple[float, float] = field(init=False)
    _called: float = field(init=False)  # share that the judge calls wrong where ``allowed`` are
    _least: int = field(init=False)
    _tested: _Tested = field(init=False)

    def __post_init__(self) -> None:
        """Raises ValueError for shares outside 0..1."""
        if not 0 < self.allowed < 1 or not 0 < self.alpha < 1:
            raise ValueError("allowed and alpha are shares between 0 and 1")
        count = len(self.thresholds)
        for name in ("window", "latest", "excursion"):
            setattr(self, name, np.zeros((count, 3), dtype=np.int64))
        self.epochs = np.ones(count, dtype=np.int64)
        self.alarm = np.zeros(count)
        self._ascending = np.array(self.thresholds[::-1])
        self.trust(self.judge, self.alpha)

    def trust(self, judge: Notice, alpha: float) -> None:
        """Take what is known of the judge's errors now, and the alpha this leaves; the evidence is read anew."""
        self.judge, self.alpha = judge, alpha
        self._gains = gains(self.allowed, judge)
        starting = np.arange(len(self.thresholds)) % START_EVERY == 0
        self._starts = starting * (alpha / starting.sum())
        self._called = called = self.allowed * (judge.notices - judge.alarms) + judge.alarms
        good, bad = called / 2, min(2 * called, (1 + called) / 2)
        self._steps = (math.log(bad / good), math.log((1 - bad) / (1 - good)))
        self._least = needed(np.zeros(3, dtype=np.int64), self._gains, -math.log(alpha))
        self._tested = self._test()

    def add(self, check: Check) -> None:
        """Count a check, then forget and begin anew where that is due."""
        at = len(self.thresholds) - int(np.searchsorted(self._ascending, check.similarity, side="right"))
        kind = FLAGGED if check.wrong else SURE if check.sure else CLEARED
        for counts in (self.window, self.latest, self.excursion):
            counts[at:, kind] += 1
        self.room += (self._called - check.wrong) * check.stands_for
        self.alarm[at:] += self._steps[0 if check.wrong else 1]
        calm = self.alarm <= 0
        self.alarm[calm] = 0
        self.excursion[calm] = 0
        self._tested = self._test()
        if self._settle():
            self._tested = self._test()

    def certificate(self) -> Certificate:
        """Where the tier stands now."""
        chosen = self._tested.chosen
        missing, nearest = self._nearest() if chosen is None else (self._calming(), chosen)
        flagged, cleared, sure = (int(value) for value in self.window[nearest])
        return Certificate(
            threshold=self.threshold(),
            certified=None if chosen is None else self.thresholds[chosen],
            bound=upper_bound(flagged, cleared, sure, self._level(nearest), self.judge),
            checks=flagged + cleared + sure,
            wrong=flagged,
            needed=missing,
            nearest=self.thresholds[nearest],
        )

    def threshold(self) -> float | None:
        """The loosest certified threshold that is not paused: from here on hits may be served."""
        calm = self.alarm <= 0
        serving = [index for index, passed in enumerate(self._tested.certified) if passed and calm[index]]
        return self.thresholds[serving[-1]] if serving else None

    def certified(self) -> float | None:
        """The loosest certified threshold, paused or not: above it, what is not served is checked."""
        chosen = self._tested.chosen
        return None if chosen is None else self.thresholds[chosen]

    def audit_share(self, least: float) -> float:
        """Which share of hits, and of would-be hits below the threshold, has to be checked; at least ``least``."""
        self.room = min(self.room, SURPRISE / least)  # what was earned long ago pays for no drift
        return 1.0 if self.room <= SURPRISE else max(least, SURPRISE / self.room)

    def leading_without(self, flagged: Counts, cleared: Counts) -> int:
        """Index of the threshold with the best evidence, were these counts (by threshold) not in the window."""
        rest = self.window.copy()
        rest[:, FLAGGED] -= flagged
        rest[:, CLEARED] -= cleared
        return int(log_evidence(np.maximum(rest, 0), self._gains).argmax())

    def begin_anew(self) -> None:
        """Drop what speaks against the pool rather than for it, at the price of some alpha."""
        self._begin_anew(self._tested.logs < 0)
        self._tested = self._test()

    def state(self) -> dict[str, Any]:
        """The counts as plain values, for storage."""
        return {"room": self.room} | {name: getattr(self, name).tolist() for name in _STORED}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave. Raises ValueError or KeyError for counts of another grid."""
        for name in _STORED:
            own: NDArray[Any] = getattr(self, name)
            values = np.array(state[name], dtype=own.dtype)
            if values.shape != own.shape:
                raise ValueError(f"{name} has the shape {values.shape}, not {own.shape}")
            setattr(self, name, values)
        self.room = float(state["room"])
        self._tested = self._test()

    def _level(self, index: int) -> float:
        """Alpha of one threshold in its present epoch; of one that was handed none yet, as if it started."""
        share = self._tested.levels[index] or float(self._starts[0])
        return share * _epoch_share(int(self.epochs[index]))

    def _test(self) -> _Tested:
        logs = log_evidence(self.window, self._gains)
        starts: list[float] = self._starts.tolist()
        nothing = [False] * len(starts)
        if float(logs.max()) < -math.log(self.alpha):
            return _Tested(starts, nothing, logs, None)
        levels: list[float] = []
        certified: list[bool] = []
        carried = 0.0
        for own, log, epoch in zip(starts, logs.tolist(), self.epochs.tolist(), strict=True):
            level = own + carried
            passed = level > 0 and log >= -math.log(level * _epoch_share(epoch))
            carried = level if passed else 0.0
            levels.append(level)
            certified.append(passed)
        chosen = max((index for index, passed in enumerate(certified) if passed), default=None)
        return _Tested(levels, certified, logs, chosen)

    def _calming(self) -> int:
        """Right checks until some certified threshold is no longer paused."""
        if self.threshold() is not None:
            return 0
        up = min(self.alarm[index] for index, passed in enumerate(self._tested.certified) if passed)
        return max(1, math.ceil(up / -self._steps[1]))

    def _nearest(self) -> tuple[int, int]:
        """Where the tier would open first, and by how many checks there; strict thresholds see few of all checks."""
        seen = self.window.sum(axis=1) + 1
        found: list[tuple[float, int, int]] = []
        for index, level in enumerate(self._tested.levels):
            if level > 0:
                missing = needed(self.window[index], self._gains, -math.log(self._level(index)))
                found.append((missing / float(seen[index]), -index, missing))
        _, index, missing = min(found)
        return missing, -index

    def _settle(self) -> bool:
        """Alarms, forgetting and beginning anew; whether any counts changed."""
        many = self.window.sum(axis=1) >= PATIENCE * self._least
        vain = many & (self._tested.logs < 0)  # less evidence than none at all
        self._begin_anew(vain)
        changed = bool(vain.any())
        if any(self._tested.certified):
            certified = np.array(self._tested.certified)
            alarmed = certified & (self.alarm >= ALARM)
            self.window[alarmed] = self.excursion[alarmed]
            self._forget_alarm(alarmed)
            changed = self._forget(certified & ~alarmed) or changed or bool(alarmed.any())
        return changed

    def _forget(self, certified: NDArray[np.bool_]) -> bool:
        kept = log_evidence(self.latest, self._gains)
        limits = np.array([RESERVE - math.log(self._level(index)) for index in range(len(kept))])
        old = certified & (kept >= limits)
        self.window[old] = self.latest[old]
        self.latest[old] = 0
        self.epochs[old] = 1  # it has proven itself afresh
        return bool(old.any())

    def _forget_alarm(self, which: NDArray[np.bool_]) -> None:
        self.latest[which] = 0
        self.alarm[which] = 0
        self.excursion[which] = 0
        self.epochs[which] += 1

    def _begin_anew(self, which: NDArray[np.bool_]) -> None:
        self.window[which] = 0
        self._forget_alarm(which)


def _epoch_share(epoch: int) -> float:
    """Four fifths for the first, the rest over all later ones: 0.2 / ((e - 1) e). The shares add up to 1."""
    return 0.8 if epoch == 1 else 0.2 / ((epoch - 1) * epoch)
