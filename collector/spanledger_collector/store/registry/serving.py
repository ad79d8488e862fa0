"""Documents the gateway and the budgets live by: upstream, route, budget, gpu_pool, key, member."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .evaluation import Judge
from .fields import Document, EnvName, HttpUrl, Money, NoneWord, Positive, Scope, Share, Text

Protocol = Literal["openai", "anthropic", "vllm"]
BudgetField = Literal["team", "key_id", "user_id", "route", "feature", "model", "upstream"]
CallField = Literal["team", "key_id", "user_id", "session_id", "feature", "endpoint", "stream"]


class Upstream(Document):
    """A provider or an engine to call."""

    base_url: Annotated[HttpUrl, Field(min_length=1)]
    protocol: Protocol = "openai"
    key_env: EnvName = ""
    provider: str = ""
    timeout_s: Positive = 120
    first_token_timeout_s: Positive = 60
    gpu_pool: str = ""
    metrics_url: HttpUrl = ""
    allow_private: bool = False
    spill_at_waiting: Annotated[int | None, NoneWord, Field(ge=0)] = None

    @property
    def priced_as(self) -> str:
        """The provider whose prices apply: the one named, else the protocol's own."""
        return self.provider or self.protocol


class Target(Document):
    """One place a route may send a call to."""

    upstream: Text
    model: Text
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1
    role: Literal["primary", "fallback"] = "primary"
    when: dict[CallField, Text] = Field(default_factory=dict[CallField, str])


class SemanticRule(Document):
    """How a route answers questions that mean the same as earlier ones, once a certificate allows it.

    ``max_wrong_hits`` is the share of semantic hits that may be wrong.
    """

    max_wrong_hits: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    user_scoped: bool = False
    lowest_similarity: Annotated[float, Field(ge=0, le=1)] = 0.7
    max_entries: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    max_question_tokens: Annotated[int, Field(ge=4, le=256)] = 64
    audit_share: Annotated[float, Field(gt=0, le=1)] = 0.05
    judge: Judge | None = None
    embedder: Annotated[str, Field(pattern=r"^(minilm-int8|[^/]+/.+)$")] = "minilm-int8"


class CacheRule(Document):
    """How a route caches answers."""

    exact: bool = True
    ttl_s: Positive = 3600
    semantic: SemanticRule | None = None


class ShadowRule(Document):
    """A target that answers a share of the route's calls once more, for nobody to see."""

    upstream: Text
    model: Text
    rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1


class QualityRule(Document):
    """When a route's primary counts as degraded: ``score`` (0 to 1) proven to lie below ``floor`` on average.

    ``alpha`` is the chance that a primary at its floor is ever left without cause. ``mode``: ``dry_run``
    only tells; ``primary`` and ``fallback`` hold the route there by hand.
    """

    score: Text
    floor: Annotated[float, Field(gt=0, lt=1)]
    window_s: Positive = 300
    min_samples: Annotated[int, Field(ge=1)] = 20
    cooldown_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    max_switches_per_day: Annotated[int, Field(ge=1)] = 6
    mode: Literal["auto", "dry_run", "primary", "fallback"] = "auto"


class Route(Document):
    """A public model name and where its calls go."""

    targets: Annotated[list[Target], Field(min_length=1, max_length=100)]
    cache: CacheRule | None = None
    quality: QualityRule | None = None
    balance: Literal["weight", "least_loaded"] = "weight"
    sticky: Literal["", "user", "session", "key"] = ""
    shadow: ShadowRule | None = None
    on_disconnect: Literal["abort", "drain"] = "abort"

    @model_validator(mode="after")
    def _can_serve(self) -> Self:
        if not any(target.role == "primary" and target.weight > 0 for target in self.targets):
            raise ValueError('a route needs a target with role "primary" and a weight above 0')
        return self


class Budget(Document):
    """A limit on spend, over all calls whose fields equal ``scope``."""

    amount: Annotated[Money, Field(gt=0)]
    period: Literal["day", "week", "month", "total"] = "month"
    scope: dict[BudgetField, Text] = Field(default_factory=dict[BudgetField, str])
    alert_at: list[Share] = Field(default_factory=lambda: [0.5, 0.8, 1.0])
    block_at: Annotated[Share | None, NoneWord] = 1.0
    cheaper_at: Annotated[Share | None, NoneWord] = None
    cheaper_route: str = ""
    cache_only_at: Annotated[Share | None, NoneWord] = None

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.alert_at != sorted(set(self.alert_at)):
            raise ValueError("alert_at must rise: [0.5, 0.8, 1.0]")
        return self


class GpuPool(Document):
    """GPUs that cost money by the hour, and what runs on them."""

    hardware: Text
    count: Annotated[int, Field(ge=1)] = 1
    usd_per_hour: Money
    upstreams: list[Text] = Field(default_factory=list[str])
    models: list[Text] = Field(default_factory=list[str])


class Key(Document):
    """Who may do what. The key itself is never stored, only its sha256."""

    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    project: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^*]")]
    team: str = ""
    scopes: Annotated[list[Scope], Field(min_length=1)]
    revoked: bool = False
    requests_per_minute: Annotated[int | None, NoneWord, Field(ge=0)] = None
    tokens_per_minute: Annotated[int | None, NoneWord, Field(ge=0)] = None

    @model_validator(mode="after")
    def _scopes_once(self) -> Self:
        self.scopes = sorted(set(self.scopes))
        return self


class Member(Document):
    """A person's role. The name is an e-mail address in small letters, or ``group:NAME`` of the identity provider.

    ``viewer`` reads, ``editor`` changes documents too, ``admin`` all of it. In project ``*``: everywhere.
    """

    role: Literal["viewer", "editor", "admin"]


MODELS: dict[str, type[Document]] = {
    "member": Member,
    "upstream": Upstream,
    "route": Route,
    "budget": Budget,
    "gpu_pool": GpuPool,
    "key": Key,
}
