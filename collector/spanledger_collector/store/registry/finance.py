"""Documents finance lives by: price, gpu_pool, allocation, currency."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .fields import Document, Factor, Moment, Money, Percent, Positive, Text

RATES = (
    "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "input_audio", "output_audio",
    "input_image", "output_image",
)  # fmt: skip
UNITS = ("per_image", "per_1k_web_searches", "per_1k_requests")


class TokenRates(Document):
    """USD per million tokens of each kind."""

    input: Money | None = None
    cache_read: Money | None = None
    cache_write: Money | None = None
    cache_write_1h: Money | None = None
    output: Money | None = None
    reasoning: Money | None = None
    input_audio: Money | None = None
    output_audio: Money | None = None
    input_image: Money | None = None
    output_image: Money | None = None

    def says(self, names: tuple[str, ...] = RATES) -> bool:
        """Whether it holds a rate."""
        return any(getattr(self, name) is not None for name in names)


class ContextTier(TokenRates):
    """Rates of calls with more input tokens than ``above_tokens``, cached ones counted."""

    above_tokens: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _has_rates(self) -> Self:
        if not self.says():
            raise ValueError(f"a context tier needs at least one rate: {', '.join(RATES)}")
        return self


class UnitRates(TokenRates):
    """Rates by token, by image, by search and by request."""

    per_image: Money | None = None
    per_1k_web_searches: Money | None = None
    per_1k_requests: Money | None = None
    tiers: list[ContextTier] = Field(default_factory=list[ContextTier])

    @model_validator(mode="after")
    def _tiers_add_to_rates(self) -> Self:
        for tier in self.tiers:
            for name in RATES:
                if getattr(tier, name) is not None and getattr(self, name) is None:
                    raise ValueError(f"tiers say {name} of long contexts: say {name} of short ones too")
        return self


class ServiceTier(UnitRates):
    """A service tier (``batch``, ``flex``, ``priority``, ...): a ``factor`` on the plain rates, or rates of its own."""

    factor: Factor | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.factor is not None) == self.says((*RATES, *UNITS)):
            raise ValueError("a service tier has either a factor or rates of its own")
        return self


class Price(UnitRates):
    """Rates of our own for calls that start in ``from <= start < until``; or, without any, changes to the public list's.

    ``model`` may hold ``*`` for any text: one document for all models under a contract.
    """

    provider: Text
    model: Text
    from_: Annotated[Moment | None, Field(alias="from")] = None
    until: Moment | None = None
    discount_percent: Percent | None = None
    service_tiers: dict[str, ServiceTier] = Field(default_factory=dict[str, ServiceTier])
    regions: dict[str, Factor] = Field(default_factory=dict[str, Factor])

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        changes = self.discount_percent is not None or self.service_tiers or self.regions
        if not self.says((*RATES, *UNITS)) and not changes:
            raise ValueError(
                f"a price needs at least one rate ({', '.join(RATES + UNITS)}), "
                "or what it changes of the public list: discount_percent, service_tiers, regions"
            )
        if self.from_ and self.until and self.from_ >= self.until:
            raise ValueError("from must be before until")
        return self


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


class PoolChange(Document):
    """From this moment on the pool has so many GPUs (0 ends it), or another price by the hour."""

    from_: Annotated[Moment, Field(alias="from")]
    count: Annotated[int | None, Field(ge=0)] = None
    usd_per_hour: Money | None = None


class Hours(Document):
    """When the pool is on: these weekdays, from a time to a later one (``HH:MM``, UTC; ``24:00`` is midnight)."""

    days: list[Weekday] = Field(
        default_factory=lambda: list[Weekday](("mon", "tue", "wed", "thu", "fri", "sat", "sun"))
    )
    from_: Annotated[str, Field(alias="from")] = "00:00"
    until: str = "24:00"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for clock in (self.from_, self.until):
            if not _CLOCK.fullmatch(clock):
                raise ValueError(f"{clock!r} is no time of day: write HH:MM, UTC")
        if self.from_ >= self.until:
            raise ValueError("from must be before until; over midnight takes two entries")
        return self


class Purchase(Document):
    """GPUs that were bought: ``price`` less ``residual`` in equal parts over ``months``, and power while they are on."""

    price: Money
    months: Annotated[int, Field(ge=1, le=240)]
    residual: Money = Decimal(0)
    kilowatts: Money = Decimal(0)  # of each GPU, with its share of the machine
    usd_per_kwh: Money = Decimal(0)

    @model_validator(mode="after")
    def _loses_value(self) -> Self:
        if self.residual > self.price:
            raise ValueError("residual is more than price")
        return self


class Reference(Document):
    """The vendor's model that the pool's calls are compared with."""

    provider: Text
    model: Text


class GpuPool(Document):
    """GPUs that cost money whether they are busy or not, and what runs on them.

    The cost is one of ``usd_per_hour`` (of each GPU), ``invoice`` (USD by month ``YYYY-MM``) and ``purchase``. ``idle``: who
    bears what no call used: ``proportional`` to the calls of the interval, ``reserved`` by share of a team, ``central``.
    What changed at a moment stands in ``changes``; to change a field without one corrects the past, too.
    """

    hardware: Text
    count: Annotated[int, Field(ge=0)] = 1
    changes: list[PoolChange] = Field(default_factory=list[PoolChange])
    from_: Annotated[Moment | None, Field(alias="from")] = None
    usd_per_hour: Money | None = None
    invoice: dict[str, Money] = Field(default_factory=dict[str, Money])
    purchase: Purchase | None = None
    schedule: list[Hours] = Field(default_factory=list[Hours])
    warm_up_s: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 0
    idle: Literal["proportional", "reserved", "central"] = "proportional"
    reserved: dict[str, Factor] = Field(default_factory=dict[str, Factor])
    interval_s: Literal[60, 300, 900, 3600] = 300
    upstreams: list[Text] = Field(default_factory=list[str])
    models: list[Text] = Field(default_factory=list[str])
    reference: Reference | None = None
    token_weights: dict[Literal["input", "cache_read", "output"], Positive] = Field(
        default_factory=dict[Literal["input", "cache_read", "output"], float]
    )

    @model_validator(mode="after")
    def _costs_one_way(self) -> Self:
        ways = [self.usd_per_hour is not None, bool(self.invoice), self.purchase is not None]
        if sum(ways) != 1:
            raise ValueError("a pool's cost is one of usd_per_hour, invoice, purchase")
        if self.purchase is not None and self.from_ is None:
            raise ValueError("a purchase needs from: the day it was put to work")
        for month in self.invoice:
            if not _MONTH.fullmatch(month):
                raise ValueError(f"invoice is by month: {month!r} is not YYYY-MM")
        return self

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if (self.idle == "reserved") != bool(self.reserved):
            raise ValueError('reserved = {team = "0.5", ...} goes with idle = "reserved"')
        if sum(self.reserved.values()) > 1:
            raise ValueError("reserved shares add up to more than 1")
        starts = [change.from_ for change in self.changes]
        if starts != sorted(set(starts)):
            raise ValueError("changes must rise by from")
        return self


Target = Literal["team", "feature", "customer_id"]
Matched = Literal[
    "category", "organisation", "team", "feature", "customer_id", "key_id", "route", "model", "provider", "upstream",
    "gpu_pool", "purpose", "service_tier", "region", "environment", "service", "prompt_name", "line",
]  # fmt: skip


class Allocation(Document):
    """Who bears spend that names nobody: rows that equal ``match`` and whose ``to`` is empty.

    ``shares`` split it by fixed parts (what is left of 1 stays unallocated); ``by`` splits it as the spend, calls or tokens of
    those who are named in the same window. Rules are tried in the order of ``order``, then of their names.
    """

    to: Target = "team"
    match: dict[Matched, str] = Field(default_factory=dict[Matched, str])
    shares: dict[Text, Factor] = Field(default_factory=dict[str, Decimal])
    by: Literal["", "cost", "calls", "tokens"] = ""
    order: int = 0

    @model_validator(mode="after")
    def _splits_one_way(self) -> Self:
        if bool(self.shares) == bool(self.by):
            raise ValueError('an allocation has either shares or by = "cost", "calls" or "tokens"')
        if sum(self.shares.values()) > 1:
            raise ValueError("shares add up to more than 1")
        if self.match.get(self.to):
            raise ValueError(f"only spend without a {self.to} is allocated: match another field")
        return self


class Rate(Document):
    """Units of the currency for one US dollar, from a day on."""

    from_: Annotated[date, Field(alias="from")]
    per_usd: Annotated[Money, Field(gt=0)]


class Currency(Document):
    """A currency that amounts can be shown and booked in; the name is its ISO 4217 code. Books are kept in US dollars."""

    rates: Annotated[list[Rate], Field(min_length=1)]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        days = [rate.from_ for rate in self.rates]
        if days != sorted(set(days)):
            raise ValueError("rates must rise by from")
        return self


MODELS: dict[str, type[Document]] = {
    "price": Price,
    "gpu_pool": GpuPool,
    "allocation": Allocation,
    "currency": Currency,
}
