"""Rows with their billing decided and a project's price table in; rows with cost out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from clickhouse_connect.driver.exceptions import Error as EngineError

from spanledger.prices import Cost, PriceTable
from spanledger_collector.store.registry.documents import SHARED
from spanledger_collector.store.registry.plan import Version
from spanledger_collector.store.registry.price_tables import LISTED, price_tables, table_of
from spanledger_collector.store.registry.registry import Registry

from .failures import is_refused
from .rows import Span

logger = logging.getLogger(__name__)

REFRESH_S = 1.0
_OWN_ENGINES = ("", None, "vllm")
_ZERO = Decimal("0E-9")


class PriceBook:
    """Every project's price table; follows the registry within a second or so. One thread uses it."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._clock = registry, clock
        self._revision, self._checked = -1, float("-inf")
        self._tables: dict[str, PriceTable] = {}
        self._places = Places(())

    def refresh(self) -> None:
        """Read the documents of prices and pools if any changed; keep what is known while the engine is away."""
        if self._clock() - self._checked < REFRESH_S:
            return
        try:
            revision = self._registry.revision()
            if revision != self._revision:
                self._tables, self._places = self._read()
                self._revision = revision
        except EngineError as away:
            logger.warning("prices not refreshed: %s", away)
        self._checked = self._clock()

    def table(self, project: str) -> PriceTable:
        """The project's own prices, those of all projects, and the public list, in that order."""
        return table_of(self._tables, project)

    def place(self, row: dict[str, object]) -> None:
        """Say which pool served a call that does not say so itself: the pool that names its upstream or model."""
        if self._places and not row.get("gpu_pool") and row.get("billable"):
            pool = self._places.pool(str(row["project"]), row)
            if pool:
                row["gpu_pool"] = pool

    def _read(self) -> tuple[dict[str, PriceTable], Places]:
        rows = self._registry.list_all(["price", "gpu_pool"])
        return price_tables(rows), Places(rows)


class Places:
    """Which pool serves which upstream, and which model where no upstream is named; false where there is none."""

    def __init__(self, rows: Iterable[Version]) -> None:
        self._upstreams: dict[tuple[str, str], str] = {}
        self._models: dict[tuple[str, str], str] = {}
        for row in rows:
            if row.kind == "gpu_pool":
                for name in row.document.get("upstreams", ()):
                    self._upstreams[row.project, name] = row.name
                for name in row.document.get("models", ()):
                    self._models[row.project, name.lower()] = row.name

    def __bool__(self) -> bool:
        return bool(self._upstreams or self._models)

    def pool(self, project: str, row: Mapping[str, object]) -> str:
        """The pool's name, or nothing. A model alone tells only of calls to an engine of our own."""
        upstream = str(row.get("upstream") or "")
        if upstream:
            return self._upstreams.get((project, upstream)) or self._upstreams.get((SHARED, upstream), "")
        if row.get("provider") not in _OWN_ENGINES:
            return ""
        model = str(row.get("response_model") or row.get("request_model") or "").lower()
        return self._models.get((project, model)) or self._models.get((SHARED, model), "")


def warm_up() -> None:
    """Load the price list, which takes a moment, before the first span waits for it."""
    LISTED.rates("openai", "gpt-4o", time.time_ns())


def price(span: Span, table: PriceTable) -> bool:
    """Set the cost columns of a billable row; False when it is a call whose usage is known and price is not.

    A row that is not billable carries no cost. A cache hit costs 0 and says what it saved. A request that its
    provider refused costs 0; a failed one that may have been worked on stays NULL.
    """
    row = span.row
    if not row.get("billable"):
        return True
    cost = (
        None
        if span.usage is None
        else table.cost(
            span.usage,
            row.get("provider", ""),
            row.get("response_model", ""),
            row["start_time"],
            request_model=row.get("request_model", ""),
            service_tier=row.get("service_tier", ""),
            region=row.get("region", ""),
        )
    )
    if row.get("cache") in ("exact", "semantic"):
        row["cost_total"], row["price_source"] = _ZERO, "cache"
        if cost is not None:
            row.setdefault("cost_saved", cost.total)
        return True
    if cost is not None:
        _set_cost(row, cost)
    elif span.usage is not None:
        return False
    elif is_refused(row):
        row["cost_total"], row["price_source"] = _ZERO, "refused"
    return True


def _set_cost(row: dict[str, object], cost: Cost) -> None:
    for column, amount in (
        ("cost_input", cost.input),
        ("cost_cache_read", cost.cache_read),
        ("cost_cache_write", cost.cache_write),
        ("cost_output", cost.output),
        ("cost_reasoning", cost.reasoning),
        ("cost_other", cost.other),
        ("cost_total", cost.total),
    ):
        if amount is not None:
            row[column] = amount
    row["price_source"], row["price_version"] = cost.source, cost.version
