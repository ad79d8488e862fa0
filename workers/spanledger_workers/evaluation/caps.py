"""Daily caps (of a rule, a project, and in total) and what judging cost today in; how many of a batch's jobs may go on out.

The sum of the day comes from the store; batches under way hold their likely cost in Redis, so that
workers cannot pass a cap together. Fails closed: a judge whose price is unknown runs under no cap.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from spanledger.serving.budgets import dollars, nano
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import JudgingSpend, judging_spend
from spanledger_workers.clock import DAY
from spanledger_workers.memory import Memory

from .rules import Rule

_LEASE_S = 900  # a worker that died gives its reservation back

# KEYS: what is held under each cap. ARGV: likely cost of a job, jobs, lease in s, then for each cap the room in
# nano-dollars. Returns {how many jobs fit, place of the cap that lets fewer through, or 0}; at least one job while nothing
# is held under a cap and there is room at all.
_RESERVE = """
local each, jobs = tonumber(ARGV[1]), tonumber(ARGV[2])
local fit, tight = jobs, 0
for i = 1, #KEYS do
  local held = tonumber(redis.call('GET', KEYS[i]) or '0')
  local room = tonumber(ARGV[3 + i]) - held
  local own = jobs
  if room <= 0 then own = 0 elseif each > 0 then own = math.min(jobs, math.floor(room / each)) end
  if own == 0 and held == 0 and room > 0 then own = 1 end
  if own < fit then fit, tight = own, i end
end
if fit > 0 and each > 0 then
  for i = 1, #KEYS do
    redis.call('INCRBY', KEYS[i], string.format('%.0f', fit * each))
    redis.call('EXPIRE', KEYS[i], ARGV[3])
  end
end
return {fit, tight}
"""
_RELEASE = """
local left = redis.call('DECRBY', KEYS[1], ARGV[1])
if left <= 0 then redis.call('DEL', KEYS[1]) end
return left
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """How many jobs may go on, what was held for them (nano-dollars), and why not more."""

    jobs: int
    held: int = 0
    why: str = ""
    keys: tuple[str, ...] = ()


def likely_cost(spent: JudgingSpend) -> Decimal:
    """What a job of the rule cost today on average, in USD; 0 before there is one."""
    return spent.usd / spent.jobs if spent.jobs else Decimal(0)


@dataclass(frozen=True, slots=True)
class _Cap:
    """One cap that a rule stands under: what it is called, its USD a day, and what was spent of it today."""

    name: str
    key: str
    usd: Decimal
    spent: Decimal


@dataclass(slots=True, kw_only=True)
class Caps:
    """Grants batches within the daily caps of each rule, each project, and all together."""

    store: Client
    redis: Memory
    per_project: Decimal | None = None
    total: Decimal | None = None

    def reserve(self, rule: Rule, jobs: int, now: int) -> Grant:
        """How many of the batch may go on; all of them for a rule without a judge, or under no cap."""
        if rule.judge is None or (rule.daily_cap, self.per_project, self.total) == (None, None, None):
            return Grant(jobs)
        today = now - now % DAY
        own = judging_spend(self.store, project=rule.project, evaluator=rule.name, since=today)
        if own.unpriced:
            return Grant(0, why="the judge's price is unknown, so no daily cap can hold it")
        caps = self._caps(rule, own, today)
        each = nano(likely_cost(own))
        rooms = [nano(max(cap.usd - cap.spent, Decimal(0))) for cap in caps]
        found = self.redis.eval(_RESERVE, len(caps), *(cap.key for cap in caps), each, jobs, _LEASE_S, *rooms)
        fit, tight = int(found[0]), int(found[1])
        if fit == jobs:
            return Grant(fit, fit * each, keys=tuple(cap.key for cap in caps))
        cap = caps[tight - 1]
        why = f"the {cap.name} of {cap.usd} USD is used up ({cap.spent:.6f} spent)"
        return Grant(fit, fit * each, why, tuple(cap.key for cap in caps))

    def release(self, grant: Grant) -> None:
        """Give back what was held; what was spent stands in the store."""
        for key in grant.keys if grant.held else ():
            self.redis.eval(_RELEASE, 1, key, grant.held)

    def held(self, rule: Rule) -> Decimal:
        """What batches of the rule under way hold, in USD."""
        return dollars(int(self.redis.get(_key(rule.project, rule.name)) or 0))

    def _caps(self, rule: Rule, own: JudgingSpend, today: int) -> list[_Cap]:
        found: list[_Cap] = []
        if rule.daily_cap is not None:
            key = _key(rule.project, rule.name)
            found.append(_Cap("daily cap", key, Decimal(rule.daily_cap), own.usd))
        if self.per_project is not None:
            spent = judging_spend(self.store, project=rule.project, since=today)
            found.append(_Cap("project's daily cap", _key(rule.project, ""), self.per_project, spent.usd))
        if self.total is not None:
            spent = judging_spend(self.store, since=today)
            found.append(_Cap("daily cap of all evaluation", _key("", ""), self.total, spent.usd))
        return found


def _key(project: str, rule: str) -> str:
    return f"spanledger:eval:held:{project}:{rule}"
