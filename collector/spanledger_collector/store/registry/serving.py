"""Documents the gateway and the budgets live by: upstream, route, budget, key, member."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .evaluation import Judge
from .fields import Document, EnvName, HttpUrl, Money, NoneWord, Positive, Scope, Share, Text

Protocol = Literal["openai", "anthropic", "vllm"]
BudgetField = Literal["organisation", "team", "key_id", "user_id", "route", "feature", "model", "upstream"]
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

    ``max_wrong_hits`` is the share of semantic hits that may be wrong; ``daily_cap`` what judging may cost a day (USD);
    ``replay_days`` how far back calls made before the rule are looked at for hits that it would have had (0: not at all).
    """

    max_wrong_hits: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    user_scoped: bool = False
    lowest_similarity: Annotated[float, Field(ge=0, le=1)] = 0.7
    max_entries: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    max_question_tokens: Annotated[int, Field(ge=4, le=256)] = 64
    audit_share: Annotated[float, Field(gt=0, le=1)] = 0.05
    judge: Judge | None = None
    daily_cap: Money | None = None
    embedder: Annotated[str, Field(pattern=r"^(minilm-int8|[^/]+/.+)$")] = "minilm-int8"
    replay_days: Annotated[int, Field(ge=0, le=30)] = 7


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


_GUARDED = r"score:.+|error_rate|cost_usd|(latency|ttft)_p\d{1,2}_s"


class Guard(Document):
    """One metric of a route that must not get worse on its primary, and what is done when it does.

    ``metric``: ``score:NAME`` (0 to 1), ``error_rate``, ``cost_usd`` (mean of a call), ``latency_p95_s`` or
    ``ttft_p95_s`` (any percentile). The bound is ``limit`` where it is given; else ``baseline``, or what is learned
    from the first ``baseline_samples`` of the primary, with ``margin`` as the loss that would be accepted: absolute
    for scores and rates (0.05), as a share for seconds and USD (0.25).
    """

    metric: Annotated[str, Field(pattern=rf"^({_GUARDED})$")]
    limit: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    baseline: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    margin: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    baseline_samples: Annotated[int, Field(ge=50, le=10_000)] = 300
    higher_is_better: bool = True
    action: Literal["fallback", "previous_prompt", "alert"] = "fallback"
    prompt: str = ""
    label: str = "production"

    @property
    def is_share(self) -> bool:
        """Whether the metric lies in 0..1."""
        return self.metric.startswith("score:") or self.metric == "error_rate"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.limit is not None and (self.baseline is not None or self.margin is not None):
            raise ValueError("give either a limit, or a baseline and its margin")
        if self.is_share and not all(0 <= value <= 1 for value in (self.limit or 0, self.baseline or 0)):
            raise ValueError(f"limit and baseline of {self.metric} lie in 0 to 1")
        if self.action == "previous_prompt" and not self.prompt:
            raise ValueError('action "previous_prompt" needs the name of the prompt')
        if not self.higher_is_better and not self.metric.startswith("score:"):
            raise ValueError("only of a score can be said whether higher is better")
        return self


class QualityRule(Document):
    """When a route's primary counts as degraded, and how it is left and probed.

    ``score`` with ``floor`` is short for a guard ``{metric = "score:NAME", limit = floor}``. ``alpha`` is the chance
    that a primary as good as its bounds allow is ever left without cause, over all guards together. ``mode``:
    ``dry_run`` only tells; ``primary`` and ``fallback`` hold the route there by hand; ``frozen`` leaves it where it is.
    While the route is on its fallback, ``probe_share`` of the calls go to the primary (the workers' default where it
    is not given), until these cost ``probe_usd_per_day``.
    """

    score: str = ""
    floor: Annotated[float | None, Field(gt=0, lt=1)] = None
    guards: Annotated[list[Guard], Field(max_length=20)] = Field(default_factory=list[Guard])
    window_s: Positive = 300
    min_samples: Annotated[int, Field(ge=1)] = 20
    cooldown_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    max_switches_per_day: Annotated[int, Field(ge=1)] = 6
    mode: Literal["auto", "dry_run", "primary", "fallback", "frozen"] = "auto"
    probe_share: Annotated[float | None, NoneWord, Field(ge=0, le=1, allow_inf_nan=False)] = None
    probe_usd_per_day: Annotated[Money | None, NoneWord] = None

    @property
    def all_guards(self) -> list[Guard]:
        """Every guard, the short form's first."""
        short = [Guard(metric=f"score:{self.score}", limit=self.floor)] if self.score else []
        return [*short, *self.guards]

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if bool(self.score) != (self.floor is not None):
            raise ValueError("score and floor go together")
        metrics = [guard.metric for guard in self.all_guards]
        if not metrics:
            raise ValueError("name a score and its floor, or guards")
        if len(metrics) != len(set(metrics)):
            raise ValueError("each metric may be guarded once")
        return self


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


Spent = Literal["api", "gpu", "evaluation", "embedding", "cache_check", "adjustment"]


class Budget(Document):
    """A limit on spend, over all calls whose fields equal ``scope`` and all kinds of spend that it ``covers`` (empty: all).

    Stages are shares of ``amount``: people are told at ``alert_at``, calls go to ``cheaper_route`` from ``cheaper_at``, only
    the cache answers from ``cache_only_at``, and from ``block_at`` nothing does. ``forecast_at``, ``forecast_cheaper_at`` and
    ``forecast_cache_only_at`` are the same for the spend that is to be expected at the end of the period.
    """

    amount: Annotated[Money, Field(gt=0)]
    period: Literal["day", "week", "month", "total"] = "month"
    scope: dict[BudgetField, Text] = Field(default_factory=dict[BudgetField, str])
    alert_at: list[Share] = Field(default_factory=lambda: [0.5, 0.8, 1.0])
    block_at: Annotated[Share | None, NoneWord] = 1.0
    cheaper_at: Annotated[Share | None, NoneWord] = None
    cheaper_route: str = ""
    cache_only_at: Annotated[Share | None, NoneWord] = None
    covers: list[Spent] = Field(default_factory=list[Spent])
    forecast_at: list[Share] = Field(default_factory=list[Share])
    forecast_cheaper_at: Annotated[Share | None, NoneWord] = None
    forecast_cache_only_at: Annotated[Share | None, NoneWord] = None

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name in ("alert_at", "forecast_at"):
            if getattr(self, name) != sorted(set(getattr(self, name))):
                raise ValueError(f"{name} must rise: [0.5, 0.8, 1.0]")
        if self.forecast_cheaper_at is not None and not self.cheaper_route:
            raise ValueError("forecast_cheaper_at needs a cheaper_route")
        if self.period == "total" and self.forecasts:
            raise ValueError("a budget without an end has no forecast for its end")
        return self

    @property
    def forecasts(self) -> bool:
        """Whether anything is done by forecast."""
        return bool(self.forecast_at) or (self.forecast_cheaper_at, self.forecast_cache_only_at) != (
            None,
            None,
        )


class Key(Document):
    """Who may do what. The key itself is never stored, only its sha256."""

    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    project: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^*]")]
    organisation: str = ""
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
    "key": Key,
}
