"""New calls and rules in; jobs out. Pure but for ``Planner``, which reads, remembers and hands over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import NewCall, known_jobs, new_calls
from spanledger_collector.store.writes_evaluation import Job, insert_jobs
from spanledger_workers import metrics
from spanledger_workers.clock import DAY, MINUTE, SECOND, seconds
from spanledger_workers.identity import identify
from spanledger_workers.memory import Memory

from .rules import Rule

WATERMARKS = "spanledger:eval:watermark"
"""Redis hash: up to which ``inserted_at`` (ns) calls were planned, by the rules' delay."""

SETTLE_NS = 2 * SECOND  # the other spans of a trace come with another batch
OVERLAP_NS = 10 * SECOND  # an insert becomes visible after the time it is stamped with
LOOK_BACK_NS = 15 * MINUTE  # where to begin when Redis forgot
PAGE = 5000
PAGES = 4  # per tick, so that a backlog does not hold the lock for ever

HandOver = Callable[[Rule, Sequence[Job]], None]


def jobs_for(rule: Rule, calls: Iterable[NewCall], now: int) -> list[Job]:
    """One job for each call that the rule wants."""
    return [
        Job(
            project=call.project,
            job_id=identify("job", rule.project, rule.name, rule.version, call.trace_id, call.span_id),
            evaluator=rule.name,
            evaluator_version=rule.version,
            trace_id=bytes.fromhex(call.trace_id),
            span_id=bytes.fromhex(call.span_id),
            time=call.start_time,
            state="planned",
            updated_at=now,
        )
        for call in calls
        if rule.wants(call)
    ]


@dataclass(slots=True, kw_only=True)
class Planner:
    """Reads new calls since the watermark, writes jobs and hands them over; what is known is skipped."""

    store: Client
    redis: Memory
    hand_over: HandOver

    def tick(self, rules: Sequence[Rule], now: int) -> int:
        """Plan for all rules; returns the number of new jobs."""
        delays = sorted({rule.delay_s for rule in rules})
        return sum(
            self._plan([rule for rule in rules if rule.delay_s == delay], delay, now) for delay in delays
        )

    def _plan(self, rules: Sequence[Rule], delay_s: float, now: int) -> int:
        until = now - SETTLE_NS - seconds(delay_s)
        mark = f"{delay_s:g}"
        stored, looked_back = self.redis.hget(WATERMARKS, mark), self.redis.hget(WATERMARKS, f"{mark}:back")
        back = int(looked_back) if looked_back else 0
        since = int(stored) if stored else until - LOOK_BACK_NS
        overlaps = until - back >= OVERLAP_NS  # not in every tick: reading calls again is most of the work
        if stored and overlaps:
            since = min(since, max(back, since - LOOK_BACK_NS)) - OVERLAP_NS
        made, pages, first, after = 0, 0, 0, None
        while True:
            calls = new_calls(self.store, since=since, until=until, oldest=now - DAY, limit=PAGE, after=after)
            made += sum(self._new_jobs(rule, calls, now) for rule in rules) if calls else 0
            pages += 1
            if len(calls) < PAGE:
                break
            first = first or calls[0].inserted_at
            after, reached = calls[-1], calls[-1].inserted_at
            self.redis.hset(WATERMARKS, mark, max(reached, int(stored or 0)))
            if pages >= PAGES and reached > first:  # a millisecond may hold more calls than a tick's pages
                return made
        self.redis.hset(WATERMARKS, mark, until)
        if overlaps:
            self.redis.hset(WATERMARKS, f"{mark}:back", until)
        return made

    def _new_jobs(self, rule: Rule, calls: Sequence[NewCall], now: int) -> int:
        jobs = jobs_for(rule, calls, now)
        if not jobs:
            return 0
        times = [job.time for job in jobs]
        known = known_jobs(
            self.store, project=rule.project, evaluator=rule.name, low=min(times), high=max(times)
        )
        fresh = [job for job in jobs if job.job_id not in known]
        insert_jobs(self.store, fresh)
        if fresh:
            metrics.PLANNED.labels(rule.name).inc(len(fresh))
            self.hand_over(rule, fresh)
        return len(fresh)
