"""Pools and their calls in; what each interval cost and who bears it, written and restated, out.

Every closed interval is metered once, in order. An interval is metered again when calls were stored that ran in it, or
when the pool's document changed, and written only where that changes anything: a restatement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from prometheus_client import Counter

from spanledger.prices import PriceTable
from spanledger_collector.finance.gpu import PoolCall, Share, allocate, token_weight
from spanledger_collector.finance.pool_costs import interval_cost, money, nanoseconds, segments
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.finance.dims import DIMS
from spanledger_collector.store.finance.gpu_costs import (
    CostRow,
    ServedCall,
    metered,
    served_calls,
    stored_rows,
    touched,
    write,
)
from spanledger_collector.store.registry.finance import GpuPool

from .clock import DAY, HOUR, MINUTE, SECOND
from .memory import Memory

GRACE_NS = MINUTE
"""An interval is metered so long after its end, when nearly all of its calls are stored."""
CHUNK_NS = 6 * HOUR
"""What is read and written at once."""
RECHECK_NS = 62 * DAY
"""How far back a changed document restates."""
_SLACK_MS = 120_000  # a row may become visible so long after its time of insertion
_MOST_CHUNKS = 16  # a tick's worth of work

RESTATED = Counter("spanledger_worker_gpu_restated_total", "Intervals of a pool written anew.", ["gpu_pool"])
WAITING = Counter(
    "spanledger_worker_gpu_waiting_total",
    "Ticks in which a pool's cost of a month was not known yet.",
    ["gpu_pool"],
)

Prices = Callable[[str], PriceTable]
"""A project's price table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool's document and where it stands; ``begin`` (ns) is when the pool was first described."""

    owner: str
    name: str
    version: int
    document: GpuPool
    begin: int

    @property
    def step_ns(self) -> int:
        """The length of an interval."""
        return self.document.interval_s * SECOND


@dataclass(slots=True)
class Pools:
    """Meters pools. ``did`` counts intervals and restatements."""

    store: Client
    redis: Memory
    prices: Prices
    did: dict[str, int] = field(default_factory=lambda: {"intervals": 0, "restated": 0, "rows": 0})

    def tick(self, pools: Iterable[Pool], now: int) -> dict[str, int]:
        """Meter what is due of every pool, and restate what late calls and changed documents call for."""
        for pool in pools:
            self._pool(pool, now)
        return self.did

    def _pool(self, pool: Pool, now: int) -> None:
        step = pool.step_ns
        known = metered(self.store, pool.owner, pool.name)
        begin = nanoseconds(pool.document.from_) if pool.document.from_ else pool.begin
        start = begin // step * step if known is None else known.last * SECOND + step
        end = (now - GRACE_NS) // step * step
        for low, high in _chunks(start, end, step):
            if not self._chunk(pool, range(low, high, step), now):
                return
        if known is None:
            self._remember(pool)
            return
        last = min(known.last * SECOND + step, end)
        self._late(pool, known.known_ms, (begin // step * step, last), now)
        self._changed(pool, (begin // step * step, last), now)

    def _late(self, pool: Pool, known_ms: int, within: tuple[int, int], now: int) -> None:
        """Intervals in which calls ran that were stored since anything of the pool was last written."""
        seconds = touched(self.store, pool.owner, pool.name, pool.document.interval_s, known_ms - _SLACK_MS)
        starts = [at * SECOND for at in seconds if within[0] <= at * SECOND < within[1]]
        for chunk in _neighbours(starts):
            self._chunk(pool, chunk, now)

    def _changed(self, pool: Pool, within: tuple[int, int], now: int) -> None:
        """Intervals of the last two months, when the document is another than the one they were metered by."""
        key = _key(pool)
        version, _, done = str(self.redis.get(key) or "").partition(":")
        if version == str(pool.version) and done == "done":
            return
        first = max(within[0], now - RECHECK_NS) // pool.step_ns * pool.step_ns
        start = int(done) if version == str(pool.version) and done.isdigit() else first
        for low, high in _chunks(max(start, first), within[1], pool.step_ns):
            if not self._chunk(pool, range(low, high, pool.step_ns), now):
                break
            start = high
        state = "done" if start >= within[1] else str(start)
        self.redis.set(key, f"{pool.version}:{state}")

    def _remember(self, pool: Pool) -> None:
        self.redis.set(_key(pool), f"{pool.version}:done")

    def _chunk(self, pool: Pool, starts: Sequence[int], now: int) -> bool:
        """Meter these intervals again; False when the pool's cost is not known yet."""
        step = pool.step_ns
        low, high = starts[0], starts[-1] + step
        calls = served_calls(self.store, pool.owner, pool.name, low, high)
        before = stored_rows(self.store, pool.owner, pool.name, low // SECOND, high // SECOND)
        changes: list[tuple[int, Sequence[CostRow], Sequence[CostRow]]] = []
        complete = True
        for start in starts:
            after = self._interval(pool, start, calls)
            if after is None:
                WAITING.labels(pool.name).inc()
                complete = False
                break
            revision, rows = before.get(start // SECOND, (0, []))
            if sorted(rows, key=_order) != sorted(after, key=_order):
                changes.append((revision, rows, after))
        self._write(pool, changes, now)
        return complete

    def _write(
        self, pool: Pool, changes: Sequence[tuple[int, Sequence[CostRow], Sequence[CostRow]]], now: int
    ) -> None:
        self.did["rows"] += write(self.store, pool.owner, changes, now // 10**6)
        restated = sum(1 for revision, _, _ in changes if revision)
        self.did["intervals"] += len(changes) - restated
        self.did["restated"] += restated
        RESTATED.labels(pool.name).inc(restated)

    def _interval(self, pool: Pool, start: int, calls: Sequence[ServedCall]) -> list[CostRow] | None:
        interval = (start, start + pool.step_ns)
        document = pool.document
        cost = interval_cost(document, *interval)
        if cost is None:
            return None
        by_id = {(call.trace_id, call.span_id): call for call in calls if _ran_in(call, interval)}
        shares = allocate(
            cost,
            segments(document, *interval),
            interval,
            (_pool_call(call, document) for call in by_id.values()),
            engines=document.upstreams,
            warm_up=warm_up(document, interval),
            policy=document.idle,
            reserved=document.reserved,
        )
        rows = [self._row(pool, interval, share, by_id) for share in shares]
        # An interval that cost nothing and served nobody is remembered as metered.
        return rows or [self._row(pool, interval, Share(line="idle", basis="policy", amount=0), by_id)]

    def _row(
        self,
        pool: Pool,
        interval: tuple[int, int],
        share: Share,
        calls: Mapping[tuple[bytes, bytes], ServedCall],
    ) -> CostRow:
        served = calls[share.call.trace_id, share.call.span_id] if share.call else None
        project, category, dims = _bearer(pool, share, served)
        home = share.call is not None and interval[0] <= share.call.active[0] < interval[1]
        return CostRow(
            project=project,
            at=interval[0] // SECOND,
            interval_s=pool.document.interval_s,
            time=max(served.start, interval[0]) if served else interval[0],
            line=share.line,
            basis=share.basis,
            home=home,
            trace_id=served.trace_id if served else bytes(16),
            span_id=served.span_id if served else bytes(8),
            category=category,
            dims=dims,
            engine_ns=share.engine_ns,
            cost=money(share.amount),
            list_cost=self._list_cost(pool, served) if served and home else None,
        )

    def _list_cost(self, pool: Pool, call: ServedCall) -> Decimal | None:
        reference = pool.document.reference
        if reference is None:
            return None
        cost = self.prices(call.project).cost(call.usage, reference.provider, reference.model, call.start)
        return None if cost is None else cost.total


def warm_up(document: GpuPool, interval: tuple[int, int]) -> list[tuple[int, int]]:
    """The stretches after the pool was switched on, by its schedule or because its count rose from none."""
    length = round(document.warm_up_s * SECOND)
    if not length:
        return []
    on = segments(document, interval[0] - length, interval[1])
    ends = {part.end for part in on}
    starts = [part.start for part in on if part.start not in ends and part.start > interval[0] - length]
    return [(start, start + length) for start in starts]


def _bearer(pool: Pool, share: Share, served: ServedCall | None) -> tuple[str, str, tuple[object, ...]]:
    """Project, category and dimensions of a share: its call's, its group's, a team's, or the pool's alone."""
    if served is not None:
        return served.project, served.category, served.dims
    if isinstance(share.group, _Group):
        return share.group.project, share.group.category, share.group.dims
    known = {"gpu_pool": pool.name, "team": share.team}
    empty: tuple[object, ...] = tuple(() if name == "tags" else known.get(name, "") for name in DIMS)
    return pool.owner, "gpu", empty


@dataclass(frozen=True, slots=True)
class _Group:
    """Calls that differ in nothing but who asked in which session bear one line of idle time."""

    project: str
    category: str
    dims: tuple[object, ...]


def _pool_call(call: ServedCall, document: GpuPool) -> PoolCall:
    usage = call.usage
    dims = tuple("" if name == "session_id" else value for name, value in zip(DIMS, call.dims, strict=True))
    return PoolCall(
        trace_id=call.trace_id,
        span_id=call.span_id,
        start=call.start + (min(call.queue_ns or 0, call.duration_ns) if call.engine_ns is None else 0),
        end=call.start + call.duration_ns,
        engine=call.dim("upstream"),
        engine_ns=call.engine_ns,
        weight=token_weight(
            (usage.input_total or 0) - (usage.cache_read_tokens or 0),
            usage.cache_read_tokens,
            usage.output_total,
            {str(name): weight for name, weight in document.token_weights.items()},
        ),
        group=_Group(call.project, call.category, dims),
        team=call.dim("team"),
    )


def _ran_in(call: ServedCall, interval: tuple[int, int]) -> bool:
    return call.start < interval[1] and call.start + max(call.duration_ns, 1) > interval[0]


def _chunks(start: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    """Runs of whole intervals, none over the end of a month, at most a tick's worth."""
    for _ in range(_MOST_CHUNKS):
        if start >= end:
            return
        at = datetime.fromtimestamp(start // SECOND, UTC)
        month = nanoseconds(datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC))
        high = min(start + max(CHUNK_NS // step, 1) * step, end, month)
        yield start, high
        start = high


def _neighbours(starts: Sequence[int]) -> Iterator[list[int]]:
    """Starts that lie within one chunk and one month, together."""
    chunk: list[int] = []
    for start in sorted(starts):
        if chunk and (start - chunk[0] >= CHUNK_NS or _month(start) != _month(chunk[0])):
            yield chunk
            chunk = []
        chunk.append(start)
    if chunk:
        yield chunk


def _month(moment: int) -> tuple[int, int]:
    at = datetime.fromtimestamp(moment // SECOND, UTC)
    return at.year, at.month


def _key(pool: Pool) -> str:
    return f"spanledger:pool:{pool.owner}:{pool.name}"


def _order(row: CostRow) -> tuple[object, ...]:
    return (
        row.line,
        row.trace_id,
        row.span_id,
        row.project,
        row.category,
        tuple(map(str, row.dims)),
        row.cost,
    )
