"""Guards of a route in; each with its bound (stated, accepted or just learned) and its evidence up to now, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spanledger.records import Event
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import LastState, TimedScore, scores_since
from spanledger_collector.store.reads.loop import TrafficLimits, first_attempts, traffic_seconds
from spanledger_collector.store.registry.serving import Guard, QualityRule, Route
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers.audit import event
from spanledger_workers.clock import DAY, SECOND
from spanledger_workers.memory import Memory

from .baselines import Baseline, learn_score, learn_traffic
from .decision import RouteState, Watched, begin, primaries
from .evidence import Evidence
from .guards import Held, Observation, level_of, limits_of, observed, stated

SETTLE_NS = (
    3 * SECOND
)  # another worker's scores, and spans, become visible after the time they are stamped with
LOOK_BACK_NS = 7 * DAY  # how far back calls count when Redis forgot, and for a first baseline
PAGE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One route, the rule it is held to, and when its document became what it is (ns)."""

    project: str
    name: str
    route: Route
    rule: QualityRule
    changed_at: int = 0


def alert_key(watch: Watch, metric: str) -> str:
    """The dedup key of a guard's alert."""
    return f"quality:{watch.name}:{metric.removeprefix('score:')}"


def targets_of(route: Route) -> str:
    """The primary targets in one text."""
    return ", ".join(f"{upstream}/{model}" for upstream, model in sorted(primaries(route)))


@dataclass(slots=True, kw_only=True)
class Collector:
    """Gathers evidence; what it has seen is kept in Redis and collected afresh when that is lost."""

    store: Client
    redis: Memory

    def watched(
        self,
        watch: Watch,
        state: RouteState,
        alerts: Mapping[str, LastState],
        accepted: Mapping[str, LastState],
        now: int,
    ) -> tuple[list[Watched], list[Event]]:
        """Every guard whose bound is known, with its evidence; and the baselines that were learned just now."""
        held: list[tuple[Held, int]] = []
        told: list[Event] = []
        for guard in watch.rule.all_guards:
            bounded, learned = self._bounded(watch, guard, accepted.get(guard.metric), state, now)
            told += learned
            held += [bounded] if bounded else []
        limits = limits_of([one for one, _ in held])
        found: list[Watched] = []
        for one, known_since in held:
            firing = alerts.get(alert_key(watch, one.metric))
            since = firing.time if firing is not None and firing.state == "firing" else 0
            fresh = begin(state, watch.rule, one, firing_since=since, known_since=known_since)
            found.append(
                Watched(
                    held=one, evidence=self._collected(watch, one, fresh, limits, now), firing_since=since
                )
            )
        return found, told

    def _bounded(
        self, watch: Watch, guard: Guard, last: LastState | None, state: RouteState, now: int
    ) -> tuple[tuple[Held, int] | None, list[Event]]:
        alpha = level_of(watch.rule)
        known = stated(guard, alpha)
        if known is not None:
            return (known, 0), []
        baseline = Baseline.from_json(last.evidence) if last and last.state == "accepted" else None
        if baseline is not None and baseline.targets == targets_of(watch.route):
            return (baseline.held(guard, alpha), baseline.until), []
        if state.state == "fallback":
            return None, []  # what the primary is like now is no baseline
        # Anew after a reset, and for another primary only from when it was one.
        since = max(now - LOOK_BACK_NS, last.time if last and last.state == "reset" else 0)
        since = max(since, watch.changed_at if baseline is not None else 0)
        learned = self._learned(watch, guard, alpha / 2, since, now)
        if learned is None:
            return None, []
        told = baseline_event(watch, guard, learned, now)
        insert_events(self.store, [told])
        return (learned.held(guard, alpha), learned.until), [told]

    def _learned(self, watch: Watch, guard: Guard, alpha: float, since: int, now: int) -> Baseline | None:
        wanted = guard.baseline_samples
        if guard.metric.startswith("score:"):
            scores = self._scores(watch, guard, since, since, now - SETTLE_NS, limit=max(wanted, PAGE))[0]
            values = [one.x if guard.higher_is_better else 1 - one.x for one in scores[:wanted]]
            found = learn_score(guard, values, alpha) if len(values) == wanted else None
        else:
            attempts = first_attempts(
                self.store,
                project=watch.project,
                route=watch.name,
                targets=primaries(watch.route),
                since=since,
                limit=wanted,
            )
            values = attempts
            found = learn_traffic(guard, attempts, alpha) if len(attempts) == wanted else None
        if found is None:
            return None
        return Baseline(
            metric=guard.metric,
            value=found[0],
            worst=found[1],
            samples=len(values),
            targets=targets_of(watch.route),
            until=now,
        )

    def _collected(
        self, watch: Watch, held: Held, fresh: Evidence, limits: TrafficLimits, now: int
    ) -> Evidence:
        key = f"spanledger:loop:{watch.project}:{watch.name}:{held.metric}"
        evidence = fresh
        kept = self.redis.get(key)
        if kept:
            try:
                stored = Evidence.from_json(kept)
            except (ValueError, KeyError, TypeError):
                stored = fresh
            if stored.signature == fresh.signature:
                evidence = stored
        until = (now - SETTLE_NS) // SECOND * SECOND
        first = max(evidence.since, now - LOOK_BACK_NS)
        after = max(evidence.cursor, first)
        if after < until:
            evidence = self._look(watch, held, evidence, limits, first, after, until)
        self.redis.set(key, evidence.to_json(), ex=LOOK_BACK_NS // SECOND)
        return evidence

    def _look(
        self,
        watch: Watch,
        held: Held,
        evidence: Evidence,
        limits: TrafficLimits,
        first: int,
        after: int,
        until: int,
    ) -> Evidence:
        if not held.score:
            seconds = traffic_seconds(
                self.store,
                project=watch.project,
                route=watch.name,
                since=first,
                after=after // SECOND * SECOND,
                until=until,
                limits=limits,
            )
            places = primaries(watch.route)
            own = [one for one in seconds if (one.upstream, one.request_model) in places]
            return evidence.with_observations(observed(held, own, limits), until)
        while True:
            seen, cursor = self._scores(watch, held.guard, first, after, until, limit=PAGE)
            evidence = evidence.with_observations(seen, cursor)
            if cursor >= until:
                return evidence
            after = cursor

    def _scores(
        self, watch: Watch, guard: Guard, since: int, after: int, until: int, *, limit: int
    ) -> tuple[list[Observation], int]:
        """A page of the primary's scores as observations, and up to when they reach."""
        page = scores_since(
            self.store,
            project=watch.project,
            name=guard.metric.removeprefix("score:"),
            route=watch.name,
            since=since,
            after=after,
            until=until,
            limit=limit,
        )
        page, cursor = (page, until) if len(page) < limit else whole_moments(page)
        places = primaries(watch.route)
        return [
            Observation(score.time, score.value if guard.higher_is_better else 1 - score.value)
            for score in page
            if (score.upstream, score.request_model) in places
        ], cursor


def whole_moments(page: Sequence[TimedScore]) -> tuple[list[TimedScore], int]:
    """A full page without its last moment, whose other scores may stand on the next; and where to go on."""
    end = page[-1].created_at
    if page[0].created_at == end:  # one moment fills it: take it as it is
        return list(page), end
    kept = [score for score in page if score.created_at < end]
    return kept, kept[-1].created_at


def baseline_event(watch: Watch, guard: Guard, learned: Baseline, now: int) -> Event:
    """What was learned, for the trail: the truth about a baseline."""
    limit = learned.held(guard, 1.0).limit
    return event(
        "baseline",
        project=watch.project,
        subject=watch.name,
        time=now,
        title=f"Baseline of {guard.metric} on {watch.name} accepted: {learned.value:.4g}",
        message=f"learned from {learned.samples} calls of {learned.targets}; worse than {limit:.4g} moves the route",
        state="accepted",
        dedup_key=guard.metric,
        evidence={name: getattr(learned, name) for name in Baseline.__dataclass_fields__},
    )
