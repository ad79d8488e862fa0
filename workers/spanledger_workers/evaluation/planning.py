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


@dataclass(frozen=True, slots=True)
class Marks:
    """How far planning came, in ns of ``inserted_at``; 0 where nothing is known.

    ``planned``: all before it was read once. Now and then calls are read again from ``back`` on, since an insert becomes
    visible late; where that takes more than one tick, ``reached`` is how far it came and ``begun`` up to when it meant to.
    """

    planned: int = 0
    back: int = 0
    reached: int = 0
    begun: int = 0

    def overlaps(self, until: int) -> bool:
        """Whether calls are read again; not in every tick: that is most of the work."""
        return self.reached > 0 or until - self.back >= OVERLAP_NS

    def since(self, until: int) -> int:
        """Where to begin."""
        if self.reached:
            return self.reached
        if not self.planned:
            return until - LOOK_BACK_NS
        if not self.overlaps(until):
            return self.planned
        return min(self.planned, max(self.back, self.planned - LOOK_BACK_NS)) - OVERLAP_NS


def _more(mark: str) -> tuple[str, str, str]:
    return f"{mark}:back", f"{mark}:reached", f"{mark}:begun"


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
        known = self.redis.hgetall(WATERMARKS)
        marks = Marks(*(int(known.get(name, 0)) for name in (mark, *_more(mark))))
        since, begun = marks.since(until), marks.begun or until
        overlaps = marks.overlaps(until)
        made, pages, first, after = 0, 0, 0, None
        while True:
            calls = new_calls(self.store, since=since, until=until, oldest=now - DAY, limit=PAGE, after=after)
            made += sum(self._new_jobs(rule, calls, now) for rule in rules) if calls else 0
            pages += 1
            if len(calls) < PAGE:
                break
            first = first or calls[0].inserted_at
            after, reached = calls[-1], calls[-1].inserted_at
            self.redis.hset(WATERMARKS, mark, max(reached, marks.planned))
            if pages >= PAGES and reached > first:  # a millisecond may hold more calls than a tick's pages
                if overlaps:
                    self.redis.hset(
                        WATERMARKS, mapping=dict(zip(_more(mark)[1:], (reached, begun), strict=True))
                    )
                return made
        self.redis.hset(WATERMARKS, mark, until)
        if overlaps:
            self.redis.hset(WATERMARKS, mapping=dict(zip(_more(mark), (begun, 0, 0), strict=True)))
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
