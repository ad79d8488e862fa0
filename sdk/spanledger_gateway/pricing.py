"""A call and a target in; the greatest and the likely cost before it, the actual cost after it, out."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from spanledger.prices import Cost
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

from . import metrics
from .calls import Attempt, Call

_DAY_NS = 86_400 * 10**9
_WEIGHT = 0.2  # of the newest call
_CAUTION = 0.95  # identical calls must not miss a budget they fit exactly for a rounding
_SPREAD = 4  # an answer without a limit may be this much longer than usual
_LEAST_OUTPUT = 64


@dataclass(slots=True)
class _Habit:
    """What calls of one kind usually turn out to be."""

    output: float | None = None  # tokens of one answer
    input_share: float = 1.0  # actual input tokens over our estimate


class Pricing:
    """Costs of calls, in nano-dollars before and Decimal dollars after. Learns how far estimates are off."""

    def __init__(self) -> None:
        self._habits: dict[tuple[str, str, str], _Habit] = {}
        self._slopes: dict[tuple[str, str, str, str, int, int], tuple[float, float] | None] = {}

    def estimate(self, call: Call, attempt: Attempt) -> tuple[int, int] | None:
        """(greatest, likely) cost in nano-dollars; None when nobody knows the price."""
        ask, habit = call.ask, self._habit(call, attempt)
        usual = DEFAULT_OUTPUT_TOKENS if habit.output is None else int(habit.output * _SPREAD) + _LEAST_OUTPUT
        most = most_output_tokens(ask, usual)
        greatest = self._price(call, attempt, most_input_tokens(ask), most)
        if greatest is None or habit.output is None:
            return None if greatest is None else (greatest, 0)
        tokens = int(likely_input_tokens(ask) * habit.input_share), min(most, int(habit.output * ask.n))
        likely = self._price(call, attempt, *tokens)
        return greatest, int((likely or 0) * _CAUTION)

    def close(self, call: Call, attempt: Attempt) -> None:
        """Set the attempt's usage and cost from its answer; usage that nobody told is estimated."""
        usage = attempt.answer.usage
        if usage is None:
            usage = _estimated(call.ask, attempt)
            metrics.child(metrics.ESTIMATED, attempt.target.upstream).inc()
        attempt.usage = usage
        attempt.cost = self._cost(call, attempt, usage, attempt.answer.model or attempt.target.model)
        if attempt.cost is None:
            metrics.child(metrics.UNPRICED, attempt.target.model).inc()

    def learn(self, call: Call, attempt: Attempt) -> None:
        """Remember how long a whole answer was, and how far the estimate of its prompt was off."""
        usage = attempt.usage
        if usage is None or usage.estimated:
            return
        habit = self._habit(call, attempt)
        output = (usage.output_total or 0) / call.ask.n
        habit.output = output if habit.output is None else habit.output + (output - habit.output) * _WEIGHT
        share = (usage.input_total or 0) / max(1, likely_input_tokens(call.ask))
        habit.input_share += (share - habit.input_share) * _WEIGHT

    def _price(self, call: Call, attempt: Attempt, input_tokens: int, output_tokens: int) -> int | None:
        slope = self._slope(call, attempt, input_tokens)
        return None if slope is None else ceil(input_tokens * slope[0] + output_tokens * slope[1])

    def _slope(self, call: Call, attempt: Attempt, input_tokens: int) -> tuple[float, float] | None:
        """Nano-dollars an input and an output token at a context of about this size; remembered for a day."""
        key = (
            call.registry.snapshot.version,
            call.key.project,
            attempt.provider,
            attempt.target.model,
            attempt.started // _DAY_NS,
            input_tokens >> 10,
        )
        if key not in self._slopes:
            if len(self._slopes) > 10_000:
                self._slopes.clear()
            self._slopes[key] = self._measured(call, attempt, max(1024, input_tokens))
        return self._slopes[key]

    def _measured(self, call: Call, attempt: Attempt, context: int) -> tuple[float, float] | None:
        table = call.registry.prices(call.key.project)
        rates = table.rates(attempt.provider, attempt.target.model, attempt.started)
        without = rates.cost(Usage(input_tokens=context, output_tokens=0)) if rates else None
        output = rates.cost(Usage(input_tokens=context, output_tokens=1_000_000)) if rates else None
        if without is None or output is None:
            return None
        return nano(without.total) / context, nano(output.total - without.total) / 1_000_000

    def _cost(self, call: Call, attempt: Attempt, usage: Usage, model: str) -> Cost | None:
        table = call.registry.prices(call.key.project)
        return table.cost(
            usage,
            attempt.provider,
            model,
            attempt.started,
            request_model=attempt.target.model,
            service_tier=attempt.answer.service_tier,
        )

    def _habit(self, call: Call, attempt: Attempt) -> _Habit:
        kind = (call.key.project, call.fields["route"], attempt.name)
        habit = self._habits.get(kind)
        if habit is None:
            if len(self._habits) > 10_000:
                self._habits.clear()
            habit = self._habits[kind] = _Habit()
        return habit


def _estimated(ask: Ask, attempt: Attempt) -> Usage:
    output = None if ask.endpoint == "embeddings" else likely_output_tokens(attempt.answer.characters)
    return Usage(input_tokens=likely_input_tokens(ask), output_tokens=output, estimated=True)
