"""A request in; a booking on every budget it counts against, or the refusal, out; its cost when it is over.

What is decided is `spanledger.serving`'s, the same as in the gateway. Times are ns since the epoch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from spanledger import ids, runtime, semconv
from spanledger.serving.answers import Answer
from spanledger.serving.asks import Ask
from spanledger.serving.bookings import POLL_S, Booking, Verdict, refusal_of, stepping_down, unavailable
from spanledger.serving.budgets import Applied, nano
from spanledger.serving.estimating import Estimator, Kind, Tariff, estimated_usage
from spanledger.settings import Settings
from spanledger.tracing.current import KEY, variable
from spanledger.wrappers.ledger import Ledger, ledger_at
from spanledger.wrappers.registry import Registered, feed_of

logger = logging.getLogger("spanledger")
REDIS_URL: Final = "SPANLEDGER_REDIS_URL"
WAIT_S: Final = 5.0
"""How long a call waits for money that calls in flight have booked but may give back."""

_estimator = Estimator()


@dataclass(slots=True)
class Spend:
    """One attempt's booking. Told of the call's end, once."""

    ledger: Ledger
    booking: Booking
    ask: Ask
    kind: Kind
    tariff: Tariff
    likely: int
    registered: Registered
    is_watched: bool = False  # the record of the call will tell how it ended
    is_billed_elsewhere: bool = False  # a Spanledger gateway answered: it has counted the call

    def cheaper(self) -> tuple[str, list[tuple[str, str]]] | None:
        """Where a budget at its cheaper stage sends the call: its name, and addresses with the models to ask there."""
        for one in stepping_down(self.booking):
            route = self.registered.routes.get(one.budget.cheaper_route)
            if route is not None and one.budget.cheaper_route != self.kind[1]:
                upstreams = self.registered.upstreams
                known = [target for target in route.targets if target.upstream in upstreams]
                return one.name, [(address_of(upstreams[t.upstream].base_url), t.model) for t in known]
        return None

    def close(self, answer: Answer, error: BaseException | None) -> None:
        """Settle with the real cost; a call that failed before it was answered gives its booking back."""
        is_failed = isinstance(error, Exception) or answer.error is not None
        if (is_failed and answer.usage is None and not answer.characters) or self.is_billed_elsewhere:
            self.ledger.settle(self.booking, 0)
            return
        usage = answer.usage or estimated_usage(self.ask, answer.characters)
        tariff = self.tariff
        cost = tariff.table.cost(
            usage,
            tariff.provider,
            answer.model or tariff.model,
            tariff.at,
            request_model=tariff.model,
            service_tier=answer.service_tier,
            region=answer.region,
        )
        if error is None and (answer.finished or self.ask.endpoint == "embeddings"):
            _estimator.learn(self.ask, self.kind, usage)
        self.ledger.settle(self.booking, nano(cost.total) if cost else 0)

    def after(self, error: BaseException | None) -> None:
        """The request returned: of a call that nobody watches, what it booked counts as its cost."""
        if error is not None:
            self.ledger.settle(self.booking, 0)  # nothing happens when its record has told the end
        elif not self.is_watched:
            self.ledger.settle(self.booking, self.booking.amount)


class Budgets:
    """The budgets of one wrapped client's calls.

    Args:
        route: The route's name; empty: the model's.
        required: Refuse calls while the registry was never reached. Otherwise they go on, with a warning.
    """

    def __init__(self, route: str, *, required: bool) -> None:
        self._route = route
        self._required = required
        self._is_warned = False

    def book(self, ask: Ask, model: str, provider: str, upstream: str) -> Spend | None:
        """Book a call's greatest cost; None when no budget applies. Waits for bookings that may be given back.

        Raises:
            RefusedError: 429, a budget is used up; 503, it cannot be checked.
            PermissionError: the key may not read budgets.
            ModuleNotFoundError: what budgets need is not installed.
        """
        spend = self._prepared(ask, model, provider, upstream)
        if spend is None:
            return None
        until = time.monotonic() + WAIT_S
        while not _is_decided(verdict := spend.ledger.ask(spend.booking, spend.likely), until):
            time.sleep(POLL_S)
        return _admitted(spend, verdict)

    async def book_async(self, ask: Ask, model: str, provider: str, upstream: str) -> Spend | None:
        """As `book`, without holding up the event loop."""
        spend = await asyncio.to_thread(self._prepared, ask, model, provider, upstream)
        if spend is None:
            return None
        until = time.monotonic() + WAIT_S
        while not _is_decided(verdict := await _ask(spend), until):
            await asyncio.sleep(POLL_S)
        return _admitted(spend, verdict)

    def _prepared(self, ask: Ask, model: str, provider: str, upstream: str) -> Spend | None:
        settings = runtime.current().settings
        registered = self._registered(settings)
        if registered is None or registered.book is None:
            return None
        fields = self._fields(ask, registered) | {"model": model, "upstream": upstream}
        budgets = registered.book.applied(fields, time.time())
        return _prepared(budgets, ask, fields, provider, registered) if budgets else None

    def _registered(self, settings: Settings) -> Registered | None:
        found = feed_of(settings).get()
        if found is None and self._required:
            raise unavailable()
        if found is None and not self._is_warned:
            self._is_warned = True
            logger.warning("Calls go on without budgets: none were read from %s yet.", settings.endpoint)
        return found

    def _fields(self, ask: Ask, registered: Registered) -> dict[str, str]:
        who = _handed_down()
        return {
            "team": str(who.get(semconv.TEAM) or registered.team),
            "key_id": registered.key_id,
            "user_id": str(who.get(semconv.USER_ID) or ask.user),
            "session_id": str(who.get(semconv.SESSION_ID) or ""),
            "route": self._route or ask.model,
            "feature": str(who.get(semconv.FEATURE) or ""),
            "endpoint": ask.endpoint,
            "stream": "true" if ask.stream else "false",
        }


def address_of(url: str) -> str:
    """Host and port of a URL, to know a client's provider by.

    >>> address_of("https://api.openai.com/v1")
    'api.openai.com:443'
    """
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def budgets_of(route: str, wanted: bool | None) -> Budgets | None:
    """Whether a client's calls are checked: as the caller says, else where Redis is configured.

    Raises:
        ValueError: they are to be checked, and nobody said where Redis is.
    """
    if wanted is False or (wanted is None and not os.environ.get(REDIS_URL)):
        return None
    if not os.environ.get(REDIS_URL):
        raise ValueError(
            f"budgets=True needs {REDIS_URL}: the counters that all gateways and clients share are there"
        )
    return Budgets(route, required=wanted is True)


def _prepared(
    budgets: list[Applied], ask: Ask, fields: dict[str, str], provider: str, registered: Registered
) -> Spend:
    now, model = time.time_ns(), fields["model"]
    kind = (registered.project, fields["route"], f"{fields['upstream']}/{model}")
    tariff = Tariff(registered.prices, registered.version, registered.project, provider, model, now)
    ledger = ledger_at(os.environ.get(REDIS_URL, ""))
    amount, likely = _estimator.estimate(ask, kind, tariff) or (0, 0)
    booking = Booking(ids.new_span_id().hex(), amount, budgets)
    return Spend(ledger, booking, ask, kind, tariff, likely, registered)


def _handed_down() -> Mapping[str, Any]:
    """For whom the calls of this context are made."""
    span: Any = variable.get().get(KEY)
    inherited: Mapping[str, Any] | None = getattr(span, "inherited", None)
    if inherited:
        return inherited
    return getattr(span, "attributes", None) or {}


def _is_decided(verdict: Verdict, until: float) -> bool:
    return verdict.refusing is None or not verdict.may_wait or time.monotonic() >= until


def _admitted(spend: Spend, verdict: Verdict) -> Spend:
    if verdict.refusing is not None:
        raise refusal_of(verdict, time.time())
    return spend


async def _ask(spend: Spend) -> Verdict:
    asking = asyncio.ensure_future(asyncio.to_thread(spend.ledger.ask, spend.booking, spend.likely))
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        # It may be booked in a moment: it is given back after that.
        asking.add_done_callback(lambda done: _given_back(spend, done))
        raise


def _given_back(spend: Spend, done: asyncio.Future[Verdict]) -> None:
    if not done.cancelled():
        done.exception()  # seen
    spend.ledger.settle(spend.booking, 0)
