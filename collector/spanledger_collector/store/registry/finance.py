"""Documents finance lives by: price."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from .fields import Document, Factor, Moment, Money, Percent, Text

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


MODELS: dict[str, type[Document]] = {"price": Price}
