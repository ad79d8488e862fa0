"""A request and a price table in; the greatest and the likely cost of the call out. Learns how far it is off."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from spanledger.prices import PriceTable
from spanledger.serving.asks import (
    DEFAULT_OUTPUT_TOKENS,
    Ask,
    likely_input_tokens,
    likely_output_tokens,
    most_input_tokens,
    most_output_tokens,
)
from spanledger.serving.budgets import nano
from spanledger.serving.usage import Usage

_DAY_NS = 86_400 * 10**9
_WEIGHT = 0.2  # of the newest call
_CAUTION = 0.95  # identical calls must not miss a budget they fit exactly for a rounding
_SPREAD = 4  # an answer without a limit may be this much longer than usual
_LEAST_OUTPUT = 64
_MOST_KEPT = 10_000

Kind = tuple[str, str, str]
"""Project, route and target: calls of one kind have answers of about one length."""


class Tariff(NamedTuple):
    """Whose prices hold for one call. ``version`` changes with the table's content; ``at`` is ns since the epoch."""

    table: PriceTable
    version: str
    project: str
    provider: str
    model: str
    at: int


@dataclass(slots=True)
class _Habit:
    """What calls of one kind usually turn out to be."""

    output: float | None = None  # tokens of one answer
    input_share: float = 1.0  # actual input tokens over our estimate


class Estimator:
    """Costs of calls before they are made, in nano-dollars."""

    def __init__(self) -> None:
        self._habits: dict[Kind, _Habit] = {}
        self._slopes: dict[tuple[str, str, str, str, int, int], tuple[float, float] | None] = {}

    def estimate(self, ask: Ask, kind: Kind, tariff: Tariff) -> tuple[int, int] | None:
        """(greatest, likely) cost in nano-dollars; None when nobody knows the price."""
        habit = self._habit(kind)
        usual = DEFAULT_OUTPUT_TOKENS if habit.output is None else int(habit.output * _SPREAD) + _LEAST_OUTPUT
        most = most_output_tokens(ask, usual)
        greatest = self._price(tariff, most_input_tokens(ask), most)
        if greatest is None or habit.output is None:
            return None if greatest is None else (greatest, 0)
        tokens = int(likely_input_tokens(ask) * habit.input_share), min(most, int(habit.output * ask.n))
        return greatest, int((self._price(tariff, *tokens) or 0) * _CAUTION)

    def learn(self, ask: Ask, kind: Kind, usage: Usage | None) -> None:
        """Remember how long a whole answer was, and how far the estimate of its prompt was off."""
        if usage is None or usage.estimated:
            return
        habit = self._habit(kind)
        output = (usage.output_total or 0) / ask.n
        habit.output = output if habit.output is None else habit.output + (output - habit.output) * _WEIGHT
        share = (usage.input_total or 0) / max(1, likely_input_tokens(ask))
        habit.input_share += (share - habit.input_share) * _WEIGHT

    def _price(self, tariff: Tariff, input_tokens: int, output_tokens: int) -> int | None:
        slope = self._slope(tariff, input_tokens)
        return None if slope is None else ceil(input_tokens * slope[0] + output_tokens * slope[1])

    def _slope(self, tariff: Tariff, input_tokens: int) -> tuple[float, float] | None:
        """Nano-dollars an input and an output token at a context of about this size; remembered for a day."""
        key = (
            tariff.version,
            tariff.project,
            tariff.provider,
            tariff.model,
            tariff.at // _DAY_NS,
            input_tokens >> 10,
        )
        try:
            return self._slopes[key]
        except KeyError:
            if len(self._slopes) > _MOST_KEPT:
                self._slopes.clear()
            self._slopes[key] = found = _measured(tariff, max(1024, input_tokens))
            return found

    def _habit(self, kind: Kind) -> _Habit:
        habit = self._habits.get(kind)
        if habit is None:
            if len(self._habits) > _MOST_KEPT:
                self._habits.clear()
            habit = self._habits[kind] = _Habit()
        return habit


def _measured(tariff: Tariff, context: int) -> tuple[float, float] | None:
    rates = tariff.table.rates(tariff.provider, tariff.model, tariff.at)
    without = rates.cost(Usage(input_tokens=context, output_tokens=0)) if rates else None
    output = rates.cost(Usage(input_tokens=context, output_tokens=1_000_000)) if rates else None
    if without is None or output is None:
        return None
    return nano(without.total) / context, nano(output.total - without.total) / 1_000_000


def estimated_usage(ask: Ask, characters: int) -> Usage:
    """The usage of an answer that told none, of so many characters."""
    output = None if ask.endpoint == "embeddings" else likely_output_tokens(characters)
    return Usage(input_tokens=likely_input_tokens(ask), output_tokens=output, estimated=True)
