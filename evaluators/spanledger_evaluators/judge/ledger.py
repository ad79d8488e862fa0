"""What judging costs: usage of calls in; totals, a cap and the share of one verdict out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal

from spanledger_evaluators.contract import JudgeFailure


@dataclass(slots=True)
class Usage:
    """Sums over judge calls. ``cost`` is USD, None as soon as one call's price is unknown."""

    calls: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = Decimal(0)
    judges: set[str] = field(default_factory=set[str])

    def add(self, judge: str, input_tokens: int, output_tokens: int, cost: Decimal | None) -> None:
        """Count one call that the model answered, usable or not."""
        self.calls += 1
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost = None if cost is None or self.cost is None else self.cost + cost
        self.judges.add(judge)

    def reuse(self, judge: str) -> None:
        """Count one verdict that came from the cache: no tokens, no cost."""
        self.cached += 1
        self.judges.add(judge)


_open_tallies: ContextVar[tuple[Usage, ...]] = ContextVar("spanledger_judge_tallies", default=())


@contextmanager
def tally() -> Generator[Usage]:
    """Collect the usage of every judge call made inside, also by tasks started inside."""
    usage = Usage()
    token = _open_tallies.set((*_open_tallies.get(), usage))
    try:
        yield usage
    finally:
        _open_tallies.reset(token)


@dataclass(slots=True)
class Ledger:
    """The running total of a judge, and its cap in USD (None: no cap).

    Before a call the dearest call so far is reserved, so that many calls in flight cannot pass the
    cap together; an unknown price cannot be held to a cap and is refused under one.
    """

    cap: Decimal | None = None
    total: Usage = field(default_factory=Usage)
    in_flight: int = 0
    dearest: Decimal = Decimal(0)

    def reserve(self) -> None:
        """Hold the cost of one call; raises JudgeFailure ``over_budget`` when the cap leaves no room."""
        if self.cap is not None:
            if self.total.cost is None:
                raise JudgeFailure("over_budget", "the judge's price is unknown, so no cap can hold it")
            held = self.dearest * (self.in_flight + 1)
            if self.total.cost >= self.cap or self.total.cost + held > self.cap:
                raise JudgeFailure("over_budget", f"the cap of {self.cap} USD is used up")
        self.in_flight += 1

    def release(self) -> None:
        """Give back what ``reserve`` held."""
        self.in_flight -= 1

    def add(self, judge: str, input_tokens: int, output_tokens: int, cost: Decimal | None) -> None:
        """Count one answered call here and in every open tally."""
        if cost is not None:
            self.dearest = max(self.dearest, cost)
        for usage in (self.total, *_open_tallies.get()):
            usage.add(judge, input_tokens, output_tokens, cost)

    def reuse(self, judge: str) -> None:
        """Count one cached verdict here and in every open tally."""
        for usage in (self.total, *_open_tallies.get()):
            usage.reuse(judge)
