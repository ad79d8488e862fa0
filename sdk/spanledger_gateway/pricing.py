"""A call and a target in; the greatest and the likely cost before it, the actual cost after it, out."""

from __future__ import annotations

from dataclasses import dataclass

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
        table = call.registry.prices(call.key.project)
        rates = table.rates(attempt.provider, attempt.target.model, attempt.started)
        cost = rates.cost(Usage(input_tokens=input_tokens, output_tokens=output_tokens)) if rates else None
        return nano(cost.total) if cost else None

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
