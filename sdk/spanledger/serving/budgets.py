"""Budgets and a call in; which counters it must fit, by how much, and what a refusal says out.

The counters live in Redis (see ``docs/architecture.md`` section 6) in integer nano-dollars. The Lua scripts
here are the only code that changes them, so that every gateway and worker counts alike:

- ``RESERVE`` checks every budget of a call and books its greatest cost, in one atomic step; it counts what it refuses.
  ``RESERVING`` is the same as a Lua function, for scripts that book together with something else.
- ``SETTLE`` replaces a booking by the actual cost (0 releases it). A booking is a lease: one whose gateway
  died is given back when it expires.
- ``REBUILD`` raises ``spent`` to what the ledger says; workers call it for the keys in ``MISSING`` (a set to
  which ``RESERVE`` adds each counter it had to make anew, for instance after Redis lost its data).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

from spanledger.serving.snapshot import Budget

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""

LEASE_MS = 15 * 60_000
"""How long a booking holds when its gateway never reports back."""

MISSING = "spanledger:budget:missing"
"""The set of counter keys that were made without knowing what was spent before."""

SHARED_PREFIX = "*/"
"""What the name of a budget over all projects begins with in a project's snapshot: no budget of its own hides it."""

TOTAL_START = "1970-01-01"
"""The period start of a budget that never resets."""


def nano(amount: Decimal) -> int:
    """USD as integer nano-dollars, rounded up so that no cost is lost."""
    return int((amount * NANO).to_integral_value(ROUND_CEILING))


def dollars(amount: int) -> Decimal:
    """Integer nano-dollars as USD with nine digits."""
    return Decimal(amount).scaleb(-9)


def period_start(period: str, now: datetime) -> datetime | None:
    """When the current period began, in UTC; weeks begin on Monday; None for ``total``."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case _:
            return None


def period_end(period: str, now: datetime) -> datetime | None:
    """When the budget resets, in UTC; None for ``total``."""
    start = period_start(period, now)
    if start is None:
        return None
    match period:
        case "day":
            return start + timedelta(days=1)
        case "week":
            return start + timedelta(days=7)
        case _:
            return (start + timedelta(days=32)).replace(day=1)


def counter_key(project: str, name: str, period: str, now: datetime) -> str:
    """The Redis key of a budget's counter in the current period."""
    start = period_start(period, now)
    date = TOTAL_START if start is None else start.date().isoformat()
    return f"spanledger:budget:{project}:{name}:{date}"


@dataclass(slots=True, frozen=True, kw_only=True)
class Applied:
    """One budget that a call counts against, now."""

    name: str
    budget: Budget
    key: str
    limit: int | None  # nano-dollars; None: counts but never blocks
    resets_at: datetime | None
    is_cache_only: bool = False  # the limit is the one from which only the cache answers
    cheaper_from: int | None = None  # nano-dollars from which calls go to the cheaper route

    def refusal(self) -> str:
        """What the caller is told."""
        when = f"it resets at {self.resets_at:%Y-%m-%dT%H:%M:%SZ}" if self.resets_at else "it never resets"
        period = "in total" if self.budget.period == "total" else f"per {self.budget.period}"
        what = "has come to its cache-only stage" if self.is_cache_only else "is used up"
        return f"budget {self.name!r} ({self.budget.amount} USD {period}) {what}; {when}"


class BudgetBook:
    """One project's budgets, with what depends on the time worked out once a UTC day."""

    def __init__(self, budgets: Mapping[str, Budget], project: str) -> None:
        self._budgets = sorted(budgets.items())
        self._project = project
        self._day = -1
        self._applied: list[tuple[list[tuple[str, str]], Applied]] = []

    def applied(self, call: Mapping[str, str], now_s: float) -> list[Applied]:
        """The budgets whose whole scope equals the call's fields and that cover its kind of spend, by name.

        ``now_s`` is seconds since the epoch.
        """
        day = int(now_s // 86_400)
        if day != self._day:
            now = datetime.fromtimestamp(now_s, UTC)
            self._applied = [(list(b.scope.items()), self._compile(n, b, now)) for n, b in self._budgets]
            self._day = day
        return [
            one
            for scope, one in self._applied
            if (not scope or all(call.get(field, "") == value for field, value in scope))
            and (not one.budget.covers or _kinds(call).intersection(one.budget.covers))
        ]

    def _compile(self, name: str, budget: Budget, now: datetime) -> Applied:
        shares = [share for share in (budget.block_at, budget.cache_only_at) if share is not None]
        share = min(shares, default=None)
        return Applied(
            name=name,
            budget=budget,
            key=counter_key(
                budget.project or self._project, name.removeprefix(SHARED_PREFIX), budget.period, now
            ),
            limit=_share(budget, share),
            resets_at=period_end(budget.period, now),
            is_cache_only=share is not None and share == budget.cache_only_at and share != budget.block_at,
            cheaper_from=_share(budget, budget.cheaper_at),
        )


def _kinds(call: Mapping[str, str]) -> frozenset[str]:
    """What kinds of spend a call may be, as ``Budget.covers`` names them."""
    if call.get("purpose") == "eval":
        return frozenset({"evaluation"})
    return frozenset({"embedding"} if call.get("endpoint") == "embeddings" else {"api", "gpu"})


def _share(budget: Budget, share: float | None) -> int | None:
    return None if share is None else nano(budget.amount * Decimal(str(share)))


# KEYS: a counter and its leases for each budget, then MISSING.
# ARGV: now ms, lease ms, lease id, amount, likely cost, then for each budget: limit (-1: none),
# known spent, expiry in s. A call that fits by its greatest cost is admitted; while nothing else is booked,
# one that fits by its likely cost is too, so that a budget can be used up whole and concurrency never
# passes it. A counter's ``stage`` is what workers decided by forecast: ``cheaper`` or ``cache_only``. Returns {admitted 0|1,
# place of the refusing budget from 1, whether waiting may help 0|1, spent..., stage 0|1 cheaper|2 cache only...}.
RESERVING = """
local function reserve(KEYS, ARGV)
local now, amount, likely = tonumber(ARGV[1]), tonumber(ARGV[4]), tonumber(ARGV[5])
local count = (#KEYS - 1) / 2
local out = {1, 0, 0}
for i = 1, count do
  local key, leases, at = KEYS[2 * i - 1], KEYS[2 * i], 3 + 3 * i
  local counts = redis.call('HMGET', key, 'spent', 'reserved', 'stage')
  local stage = counts[3]
  if not counts[1] then
    redis.call('HSET', key, 'spent', ARGV[at + 1], 'reserved', 0)
    if tonumber(ARGV[at + 2]) > 0 then redis.call('EXPIRE', key, ARGV[at + 2]) end
    redis.call('DEL', leases)
    redis.call('SADD', KEYS[#KEYS], key)
    counts = {ARGV[at + 1], '0'}
  elseif tonumber(ARGV[at + 1]) > tonumber(counts[1]) and redis.call('SISMEMBER', KEYS[#KEYS], key) == 1 then
    -- Made anew by another gateway that knew less.
    redis.call('HSET', key, 'spent', ARGV[at + 1])
    counts[1] = ARGV[at + 1]
  end
  local reserved = tonumber(counts[2]) or 0
  if reserved > 0 then
    for _, lease in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)) do
      redis.call('ZREM', leases, lease)
      reserved = redis.call('HINCRBY', key, 'reserved', '-' .. string.match(lease, '%d+$'))
    end
  end
  local spent, limit = tonumber(counts[1]), tonumber(ARGV[at])
  out[3 + i] = counts[1]
  out[3 + count + i] = (stage == 'cache_only' and 2) or (stage == 'cheaper' and 1) or 0
  if out[1] == 1 and stage == 'cache_only' then
    out[1], out[2], out[3] = 0, i, 0
  elseif out[1] == 1 and limit >= 0 and spent + reserved + amount > limit then
    -- A habit of dear calls must not close a small budget for good: half of it is always open to one call.
    local possible = spent < limit and spent + math.min(likely, limit / 2) <= limit
    if spent >= limit or reserved > 0 or not possible then
      out[1], out[2] = 0, i
      out[3] = (possible and reserved > 0) and 1 or 0
    end
  elseif out[1] == 1 and limit >= 0 and spent >= limit then
    out[1], out[2], out[3] = 0, i, 0
  end
end
if out[1] == 1 then
  local lease = ARGV[3] .. ':' .. ARGV[4]
  for i = 1, count do
    redis.call('HINCRBY', KEYS[2 * i - 1], 'reserved', ARGV[4])
    redis.call('ZADD', KEYS[2 * i], now + tonumber(ARGV[2]), lease)
    redis.call('PEXPIRE', KEYS[2 * i], 2 * tonumber(ARGV[2]))
  end
elseif out[3] == 0 then
  local why = out[3 + count + out[2]] == 2 and 'refused_by_forecast' or 'refused'
  redis.call('HINCRBY', KEYS[2 * out[2] - 1], why, 1)
end
return out
end
"""
RESERVE = RESERVING + "return reserve(KEYS, ARGV)"

# KEYS: a counter and its leases for each budget, then MISSING. ARGV: lease id, amount reserved, actual
# cost, then for each budget: known spent, expiry in s, both for a counter made anew. Returns {spent...}.
SETTLE = """
local lease, out = ARGV[1] .. ':' .. ARGV[2], {}
for i = 1, (#KEYS - 1) / 2 do
  local key, at = KEYS[2 * i - 1], 2 + 2 * i
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'spent', ARGV[at], 'reserved', 0)
    if tonumber(ARGV[at + 1]) > 0 then redis.call('EXPIRE', key, ARGV[at + 1]) end
    redis.call('SADD', KEYS[#KEYS], key)
  end
  if redis.call('ZREM', KEYS[2 * i], lease) == 1 then
    redis.call('HINCRBY', key, 'reserved', '-' .. ARGV[2])
  end
  out[i] = tostring(redis.call('HINCRBY', key, 'spent', ARGV[3]))
end
return out
"""

# KEYS: a counter, MISSING. ARGV: what the ledger says was spent. Returns the counter's {spent, refusals so far}.
REBUILD = """
local spent = redis.call('HGET', KEYS[1], 'spent')
if not spent or tonumber(spent) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'spent', ARGV[1])
  redis.call('HSETNX', KEYS[1], 'reserved', 0)
  spent = ARGV[1]
end
redis.call('SREM', KEYS[2], KEYS[1])
return {spent, tonumber(redis.call('HGET', KEYS[1], 'refused')) or 0}
"""
