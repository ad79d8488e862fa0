"""A call's budgets and greatest cost in; the commands that book and settle it, and what their answers mean, out.

The one bookkeeping of the gateway and of wrapped clients. They differ only in how they talk to Redis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from spanledger.serving.budgets import LEASE_MS, MISSING, Applied
from spanledger.serving.refusals import RefusedError

KEEP_S = 35 * 86_400
"""How long a counter outlives its period, so that reports can read it."""

POLL_S = 0.02
"""How often a call that waits for bookings of others asks again."""

_MOST_KNOWN = 10_000


@dataclass(slots=True)
class Booking:
    """Money booked for one call, in nano-dollars, on every budget it counts against."""

    lease: str
    amount: int
    budgets: list[Applied]
    closed: bool = False
    spent: list[int] = field(default_factory=list[int])
    stages: list[int] = field(default_factory=list[int])  # by forecast: 1 cheaper, 2 only the cache


def stepping_down(booking: Booking) -> Iterator[Applied]:
    """The budgets of an admitted booking that came to the stage where calls go to a cheaper route."""
    for one, spent, stage in zip(booking.budgets, booking.spent, booking.stages, strict=True):
        if stage or (one.cheaper_from is not None and spent >= one.cheaper_from):
            yield one


@dataclass(slots=True, frozen=True)
class Verdict:
    """What ``RESERVE`` said: the budget that refuses, if one does, whether waiting may help, and whether it refuses because
    the spend to be expected would pass it.
    """

    refusing: Applied | None = None
    may_wait: bool = False
    by_forecast: bool = False


class Knowledge:
    """Remembers what each counter last said, for when Redis loses it. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def reserve(self, booking: Booking, likely: int, now_s: float) -> tuple[list[str], list[str | int]]:
        """Keys and arguments of ``RESERVE``; ``likely`` is the call's likely cost in nano-dollars."""
        arguments: list[str | int] = [
            int(now_s * 1000),
            LEASE_MS,
            booking.lease,
            booking.amount,
            likely,
        ]
        for one in booking.budgets:
            limit = -1 if one.limit is None else one.limit
            arguments += (limit, self._known.get(one.key, 0), _expiry(one, now_s))
        return _keys(booking), arguments

    def settle(self, booking: Booking, cost: int, now_s: float) -> tuple[list[str], list[str | int]]:
        """Keys and arguments of ``SETTLE``; a cost of 0 gives all of the booking back."""
        arguments: list[str | int] = [booking.lease, booking.amount, cost]
        for one in booking.budgets:
            arguments += (self._known.get(one.key, 0), _expiry(one, now_s))
        return _keys(booking), arguments

    def answered(self, booking: Booking, answer: Sequence[int | bytes]) -> Verdict:
        """Read the answer of ``RESERVE``."""
        admitted, place, may_wait, *rest = [int(value) for value in answer]
        count = len(booking.budgets)
        booking.spent, booking.stages = rest[:count], rest[count:]
        self.settled(booking, booking.spent)
        return (
            Verdict()
            if admitted
            else Verdict(booking.budgets[place - 1], bool(may_wait), bool(booking.stages[place - 1]))
        )

    def settled(self, booking: Booking, answer: Sequence[int | bytes]) -> None:
        """Read the answer of ``SETTLE``."""
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        for one, value in zip(booking.budgets, answer, strict=True):
            self._known[one.key] = int(value)


def refusal_of(verdict: Verdict, now_s: float) -> RefusedError:
    """What the caller is told when a budget refuses: which one, and when it resets."""
    refusing = verdict.refusing
    assert refusing is not None
    resets = refusing.resets_at
    extra = {
        "budget": refusing.name,
        "resets_at": resets.strftime("%Y-%m-%dT%H:%M:%SZ") if resets else None,
    }
    if verdict.may_wait:
        message = f"budget {refusing.name!r} is fully booked by calls in flight; try again shortly"
        return RefusedError(429, "budget_exceeded", message, retry_after_s=1, extra=extra)
    wait = resets.timestamp() - now_s if resets else None
    message = refusing.refusal()
    if verdict.by_forecast:
        message = f"budget {refusing.name!r} would be passed before it resets: only the cache answers"
    return RefusedError(429, "budget_exceeded", message, retry_after_s=wait, retry=False, extra=extra)


def unavailable() -> RefusedError:
    """What the caller is told when a budget applies and Redis is away: spend fails closed."""
    return RefusedError(
        503, "budget_unavailable", "the budget cannot be checked at the moment", retry_after_s=1
    )


def unpriced(model: str) -> RefusedError:
    """What the caller is told when a budget applies and the model has no price."""
    message = f"nobody knows the price of {model!r}, and a budget applies"
    return RefusedError(429, "price_unknown", message, retry=False)


def _keys(booking: Booking) -> list[str]:
    return [key for one in booking.budgets for key in (one.key, one.key + ":leases")] + [MISSING]


def _expiry(one: Applied, now_s: float) -> int:
    return int(one.resets_at.timestamp() - now_s) + KEEP_S if one.resets_at else 0
