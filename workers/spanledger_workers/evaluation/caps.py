"""A rule's daily cap and what its judging cost today in; how many of a batch's jobs may go on out.

The sum of the day comes from the store; batches under way hold their likely cost in Redis, so that
workers cannot pass the cap together. Fails closed: a judge whose price is unknown runs under no cap.
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

# KEYS: the day's reservations. ARGV: room in nano-dollars, likely cost of a job, jobs, lease in s.
# Returns how many jobs fit; at least one while nothing is held and there is room at all.
_RESERVE = """
local held = tonumber(redis.call('GET', KEYS[1]) or '0')
local room, each, jobs = tonumber(ARGV[1]) - held, tonumber(ARGV[2]), tonumber(ARGV[3])
if room <= 0 then return 0 end
local fit = jobs
if each > 0 then fit = math.min(jobs, math.floor(room / each)) end
if fit == 0 and held == 0 then fit = 1 end
if fit > 0 then
  redis.call('INCRBY', KEYS[1], string.format('%.0f', fit * each))
  redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return fit
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


def likely_cost(spent: JudgingSpend) -> Decimal:
    """What a job of the rule cost today on average, in USD; 0 before there is one."""
    return spent.usd / spent.jobs if spent.jobs else Decimal(0)


@dataclass(slots=True, kw_only=True)
class Caps:
    """Grants batches within each rule's daily cap."""

    store: Client
    redis: Memory

    def reserve(self, rule: Rule, jobs: int, now: int) -> Grant:
        """How many of the batch may go on; all of them for a rule without a cap or a judge."""
        if rule.daily_cap is None or rule.judge is None:
            return Grant(jobs)
        spent = judging_spend(self.store, project=rule.project, evaluator=rule.name, since=now - now % DAY)
        if spent.unpriced:
            return Grant(0, why="the judge's price is unknown, so no daily cap can hold it")
        room = Decimal(rule.daily_cap) - spent.usd
        each = nano(likely_cost(spent))
        fit = int(self.redis.eval(_RESERVE, 1, _key(rule), nano(max(room, Decimal(0))), each, jobs, _LEASE_S))
        why = (
            "" if fit == jobs else f"the daily cap of {rule.daily_cap} USD is used up ({spent.usd:.6f} spent)"
        )
        return Grant(fit, fit * each, why)

    def release(self, rule: Rule, grant: Grant) -> None:
        """Give back what was held; what was spent stands in the store."""
        if grant.held:
            self.redis.eval(_RELEASE, 1, _key(rule), grant.held)

    def held(self, rule: Rule) -> Decimal:
        """What batches under way hold, in USD."""
        return dollars(int(self.redis.get(_key(rule)) or 0))


def _key(rule: Rule) -> str:
    return f"spanledger:eval:held:{rule.project}:{rule.name}"
