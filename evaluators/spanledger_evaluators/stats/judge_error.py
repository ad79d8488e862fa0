"""A judge's verdicts beside people's in; what may be assumed of its errors, on the safe side, out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .wrong_rate import Notice, lower_bound, upper_bound

ASSUMED_NOTICES = 0.9
"""Share of wrong answers that a judge is taken to notice until people have labelled enough of them."""
FEWEST_LABELS = 30
LEVEL = 0.01
"""Chance that both bounds of a measured judge do not hold together; taken out of the promise's 5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeError:
    """How a judge compares with people on the same pairs. ``alarm_rate``: right ones it called wrong; None unmeasured."""

    bounds: Notice = field(default_factory=lambda: Notice(ASSUMED_NOTICES))
    alarm_rate: float | None = None
    labels: int = 0
    measured: bool = False  # ``bounds`` come from labels, not from the assumption

    @property
    def level(self) -> float:
        """What the bounds cost of the promise's alpha."""
        return LEVEL if self.measured else 0.0

    def forbids(self, allowed: float) -> str:
        """Why no tier may open on this judge's word; empty when it may.

        A judge that calls as many right answers wrong as may be wrong at all cannot tell the two apart: what it
        corrects for would rest on calibration alone.
        """
        if self.alarm_rate is not None and self.alarm_rate >= allowed:
            return (
                f"the judge calls {self.alarm_rate:.1%} of right answers wrong (people's labels: {self.labels}),"
                f" not less than the {allowed:.1%} that may be wrong: name a better judge or allow more"
            )
        return ""


def measure(pairs: Iterable[tuple[bool, bool]]) -> JudgeError:
    """Compare (called wrong by the judge, wrong by a person). Bounds hold at every look, as labels keep coming."""
    seen = list(pairs)
    missed = sum(wrong and not called for called, wrong in seen)
    noticed = sum(wrong and called for called, wrong in seen)
    alarms = sum(called and not wrong for called, wrong in seen)
    agreed = sum(not called and not wrong for called, wrong in seen)
    right, wrong = alarms + agreed, noticed + missed
    rate = alarms / right if right >= FEWEST_LABELS else None
    least_alarms = lower_bound(alarms, agreed, LEVEL / 2) if rate is not None else 0.0
    if wrong >= FEWEST_LABELS:
        notices = 1 - upper_bound(missed, noticed, 0, LEVEL / 2)
    else:  # too few to measure: the assumption, unless even these contradict it
        notices = min(ASSUMED_NOTICES, (noticed + 1) / (wrong + 1))
    if least_alarms >= notices:
        least_alarms = 0.0
    return JudgeError(
        bounds=Notice(max(notices, 1e-3), least_alarms if notices > 1e-3 else 0.0),
        alarm_rate=rate,
        labels=len(seen),
        measured=rate is not None or wrong >= FEWEST_LABELS,
    )
