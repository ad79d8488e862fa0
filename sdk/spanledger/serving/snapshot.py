"""The compiled registry snapshot: JSON from ``GET /api/registry/snapshot`` in, typed values out.

A gateway decides everything from this one value, so it holds what serving needs and no more.
Unknown fields are ignored, so that an older gateway reads a newer collector's snapshot;
a value of the wrong shape raises ``SnapshotError`` and the reader keeps the snapshot it has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from spanledger.serving.decoding import DecodingError, decode, encode

ANY_PROJECT = "*"
"""The project whose upstreams, prices and GPU pools every project sees."""


class SnapshotError(ValueError):
    """The text is no snapshot; the message names the path of the first wrong value."""


@dataclass(slots=True, frozen=True, kw_only=True)
class SnapshotKey:
    """One key that may use the gateway. ``hash`` is sha256 of the whole key, in hex."""

    id: str
    hash: str
    project: str
    organisation: str = ""
    team: str = ""
    scopes: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class Upstream:
    """A provider or an engine to call. ``key_env`` names the variable that holds its key."""

    base_url: str
    protocol: Literal["openai", "anthropic", "vllm"] = "openai"
    key_env: str = ""
    provider: str = ""  # for prices; the collector fills in the protocol's default
    timeout_s: float = 120.0
    first_token_timeout_s: float = 60.0
    gpu_pool: str = ""
    metrics_url: str = ""
    allow_private: bool = False  # may resolve to a private or link-local address
    spill_at_waiting: int | None = None  # an engine with so many waiting requests is passed by


@dataclass(slots=True, frozen=True, kw_only=True)
class Target:
    """One place a route may send a call to."""

    upstream: str
    model: str
    weight: float = 1.0
    role: Literal["primary", "fallback"] = "primary"
    when: dict[str, str] = field(default_factory=dict[str, str])  # fields a call must equal


@dataclass(slots=True, frozen=True, kw_only=True)
class SemanticRule:
    """How a route answers questions that mean the same as earlier ones, once a certificate allows it.

    ``max_wrong_hits`` is the share of hits that may be wrong; ``embedder`` a built-in one or ``UPSTREAM/MODEL``.
    """

    max_wrong_hits: float = 0.01
    user_scoped: bool = False
    lowest_similarity: float = 0.7
    max_entries: int = 100_000
    max_question_tokens: int = 64
    audit_share: float = 0.05
    embedder: str = "minilm-int8"


@dataclass(slots=True, frozen=True, kw_only=True)
class CacheRule:
    """How a route caches answers."""

    exact: bool = True
    ttl_s: float = 3600.0
    semantic: SemanticRule | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ShadowRule:
    """A target that answers a share ``rate`` of the route's calls once more; nobody sees its answers."""

    upstream: str
    model: str
    rate: float = 1.0


@dataclass(slots=True, frozen=True, kw_only=True)
class QualityRule:
    """The part of a route's quality rule that a reader may want to show; the workers judge by the document."""

    score: str = ""
    floor: float | None = None
    window_s: float = 300.0
    min_samples: int = 20
    cooldown_s: float = 60.0


@dataclass(slots=True, frozen=True, kw_only=True)
class Route:
    """A public model name and its targets, in order of preference.

    ``balance`` picks the first primary by weight or by the engines' load; ``sticky`` gives a user, session
    or key the same one every time. ``on_disconnect`` says what becomes of a vendor's stream whose caller
    left: ``abort`` closes it, ``drain`` reads it to its end for the exact usage; engines are always freed.
    """

    targets: tuple[Target, ...]
    cache: CacheRule | None = None
    quality: QualityRule | None = None
    balance: Literal["weight", "least_loaded"] = "weight"
    sticky: Literal["", "user", "session", "key"] = ""
    shadow: ShadowRule | None = None
    on_disconnect: Literal["abort", "drain"] = "abort"


@dataclass(slots=True, frozen=True, kw_only=True)
class Budget:
    """A limit on spend. ``scope`` holds the fields a call must equal to count; empty: every call.

    ``amount`` is USD. ``alert_at`` and ``block_at`` are shares of it; ``block_at`` None never blocks.
    ``project`` is ``*`` for a budget over all projects together; empty: over the project that it stands in.
    ``covers`` names kinds of spend (empty: all). From the share ``cheaper_at`` on calls go to the route ``cheaper_route``, from ``cache_only_at`` on only
    the cache answers.
    """

    amount: Decimal
    period: Literal["day", "week", "month", "total"] = "month"
    scope: dict[str, str] = field(default_factory=dict[str, str])
    alert_at: tuple[float, ...] = (0.5, 0.8, 1.0)
    block_at: float | None = 1.0
    cheaper_at: float | None = None
    cheaper_route: str = ""
    cache_only_at: float | None = None
    covers: tuple[str, ...] = ()
    project: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class TokenRates:
    """USD per million tokens of each kind; None: not said here."""

    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    output: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    input_image: Decimal | None = None
    output_image: Decimal | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ContextTier(TokenRates):
    """Rates of calls with more input tokens than ``above_tokens``."""

    above_tokens: int


@dataclass(slots=True, frozen=True, kw_only=True)
class ServiceTier(TokenRates):
    """A service tier: a ``factor`` on the plain rates, or rates of its own."""

    factor: Decimal | None = None
    per_image: Decimal | None = None
    per_1k_web_searches: Decimal | None = None
    per_1k_requests: Decimal | None = None
    tiers: tuple[ContextTier, ...] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class Price(TokenRates):
    """Rates of our own, or changes to the public list's (``spanledger.prices.documents`` says how they are read).

    Valid for calls that start in ``from_ <= start < until`` (None: open end).
    """

    name: str
    version: int
    provider: str
    model: str
    from_: datetime | None = None
    until: datetime | None = None
    per_image: Decimal | None = None
    per_1k_web_searches: Decimal | None = None
    per_1k_requests: Decimal | None = None
    discount_percent: Decimal | None = None
    tiers: tuple[ContextTier, ...] = ()
    service_tiers: dict[str, ServiceTier] = field(default_factory=dict[str, ServiceTier])
    regions: dict[str, Decimal] = field(default_factory=dict[str, Decimal])


@dataclass(slots=True, frozen=True, kw_only=True)
class ProjectSnapshot:
    """What one project may use: its own documents and those of project ``*``, by name."""

    upstreams: dict[str, Upstream] = field(default_factory=dict[str, Upstream])
    routes: dict[str, Route] = field(default_factory=dict[str, Route])
    budgets: dict[str, Budget] = field(default_factory=dict[str, Budget])
    prices: tuple[Price, ...] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class Snapshot:
    """Everything a gateway serves from. ``version`` is a hash of the content and the ETag."""

    version: str
    keys: tuple[SnapshotKey, ...] = ()
    projects: dict[str, ProjectSnapshot] = field(default_factory=dict[str, ProjectSnapshot])

    @classmethod
    def from_json(cls, text: str | bytes) -> Snapshot:
        """Read a snapshot.

        Raises:
            SnapshotError: the text is not JSON or a value has the wrong type.
        """
        try:
            return decode(cls, json.loads(text))
        except (DecodingError, ValueError) as wrong:
            raise SnapshotError(f"not a registry snapshot: {wrong}") from wrong

    def to_json(self) -> bytes:
        """Write the snapshot as canonical JSON: sorted keys, no spaces, money as decimal strings."""
        return json.dumps(encode(self), sort_keys=True, separators=(",", ":")).encode()


EMPTY = Snapshot(version="")
"""No keys and no projects: what a gateway that never reached a collector serves from."""
