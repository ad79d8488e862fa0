"""A call and a target in; the greatest and the likely cost before it, the actual cost after it, out."""

from __future__ import annotations

from spanledger.prices import Cost
from spanledger.serving.estimating import Estimator, Kind, Tariff, estimated_usage
from spanledger.serving.usage import Usage

from . import metrics
from .calls import Attempt, Call


class Pricing:
    """Costs of calls, in nano-dollars before and Decimal dollars after. Learns how far estimates are off."""

    def __init__(self) -> None:
        self._estimator = Estimator()

    def estimate(self, call: Call, attempt: Attempt) -> tuple[int, int] | None:
        """(greatest, likely) cost in nano-dollars; None when nobody knows the price."""
        project = call.key.project
        tariff = Tariff(
            call.registry.prices(project),
            call.registry.snapshot.version,
            project,
            attempt.provider,
            attempt.target.model,
            attempt.started,
        )
        return self._estimator.estimate(call.ask, _kind(call, attempt), tariff)

    def close(self, call: Call, attempt: Attempt) -> None:
        """Set the attempt's usage and cost from its answer; usage that nobody told is estimated."""
        usage = attempt.answer.usage
        if usage is None:
            usage = estimated_usage(call.ask, attempt.answer.characters)
            metrics.count(metrics.ESTIMATED, attempt.target.upstream)
        attempt.usage = usage
        attempt.cost = self._cost(call, attempt, usage, attempt.answer.model or attempt.target.model)
        if attempt.cost is None:
            metrics.count(metrics.UNPRICED, attempt.target.model)

    def learn(self, call: Call, attempt: Attempt) -> None:
        """Remember how long a whole answer was, and how far the estimate of its prompt was off."""
        self._estimator.learn(call.ask, _kind(call, attempt), attempt.usage)

    def _cost(self, call: Call, attempt: Attempt, usage: Usage, model: str) -> Cost | None:
        table = call.registry.prices(call.key.project)
        return table.cost(
            usage,
            attempt.provider,
            model,
            attempt.started,
            request_model=attempt.target.model,
            service_tier=attempt.answer.service_tier,
            region=attempt.answer.region,
        )


def _kind(call: Call, attempt: Attempt) -> Kind:
    return call.key.project, call.fields["route"], attempt.name
