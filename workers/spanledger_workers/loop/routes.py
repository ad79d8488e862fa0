"""The loop over all watched routes: evidence gathered, decisions carried out, and told in the trail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spanledger.records import Event
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import LastState, last_states, switches_since
from spanledger_collector.store.reads.loop import spent_on
from spanledger_collector.store.registry.plan import Draft, Version
from spanledger_collector.store.registry.registry import Announce, Registry
from spanledger_collector.store.registry.serving import Route
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers import metrics
from spanledger_workers.audit import tell_once
from spanledger_workers.clock import DAY, MINUTE
from spanledger_workers.memory import Memory

from . import telling
from .collecting import LOOK_BACK_NS, Collector, Watch
from .decision import Decision, Options, RouteState, decide, options_of, primaries
from .prompts import BY_WORKER, Release, newest_release, restored
from .states import RouteStates

PROMPTS_FOLLOW_NS = 2 * MINUTE  # until every application has fetched the restored prompt


def watches(routes: Sequence[tuple[str, str, Route]], changed_at: Sequence[int] = ()) -> list[Watch]:
    """The routes (project, name, document) that have a quality rule; ``changed_at``: when each became so, ns."""
    times = changed_at or [0] * len(routes)
    return [
        Watch(project=project, name=name, route=route, rule=route.quality, changed_at=at)
        for (project, name, route), at in zip(routes, times, strict=True)
        if route.quality is not None
    ]


@dataclass(frozen=True, slots=True)
class _Trail:
    """The newest events of a project, by what they are about."""

    switches: Mapping[str, LastState]
    alerts: Mapping[str, LastState]
    baselines: Mapping[str, Mapping[str, LastState]]


@dataclass(slots=True, kw_only=True)
class Loop:
    """Looks at every watched route and moves it when its primary's evidence calls for it."""

    store: Client
    redis: Memory
    canary: float
    announce: Announce

    def tick(self, watched: Sequence[Watch], now: int) -> list[Event]:
        """Decide for each route; returns the events written."""
        told: list[Event] = []
        for project in sorted({watch.project for watch in watched}):
            trail = self._trail(project)
            for watch in watched:
                if watch.project == project:
                    told += self._look(watch, trail, now)
        return told

    def _trail(self, project: str) -> _Trail:
        baselines: dict[str, dict[str, LastState]] = {}
        for row in last_states(self.store, project=project, kind="baseline"):
            baselines.setdefault(row.subject, {})[row.dedup_key] = row
        return _Trail(
            newest_by_subject(last_states(self.store, project=project, kind="route_switch")),
            {row.dedup_key: row for row in last_states(self.store, project=project, kind="alert")},
            baselines,
        )

    def _look(self, watch: Watch, trail: _Trail, now: int) -> list[Event]:
        states, rule = RouteStates(redis=self.redis), watch.rule
        share = self.canary if rule.probe_share is None else rule.probe_share
        state = states.read(watch.project, watch.name, trail.switches.get(watch.name), share)
        told: list[Event] = []
        options = options_of(watch.route, rule)
        if state.state == "fallback":
            told += self._cap_probes(watch, states, state, share, now)
            options = replace(options, switches_today=self._switches(watch, now))
        collector = Collector(store=self.store, redis=self.redis)
        accepted = trail.baselines.get(watch.name, {})
        found, learned = collector.watched(watch, state, trail.alerts, accepted, now)
        releases = self._releases(watch, state, now)
        options = replace(options, prompts=frozenset(releases))
        for decision in decide(state, rule, found, options, now=now):
            metrics.DECISIONS.labels(watch.name, decision.to, str(rule.mode == "dry_run").lower()).inc()
            told += self._carry_out(watch, states, decision, options, releases, share, now)
        return [*learned, *told]

    def _switches(self, watch: Watch, now: int) -> int:
        return switches_since(self.store, project=watch.project, route=watch.name, since=now - DAY)

    def _carry_out(
        self,
        watch: Watch,
        states: RouteStates,
        decision: Decision,
        options: Options,
        releases: Mapping[str, tuple[Version, Release]],
        share: float,
        now: int,
    ) -> list[Event]:
        """The events first, because they are the truth; then what gateways and applications obey."""
        if decision.to in ("alert", "resolved"):
            note = (
                f" (the route stays: {options.why_not})" if options.why_not and decision.to == "alert" else ""
            )
            return self._tell([telling.alert(watch, decision, now, note=note)])
        newest, release = releases.get(decision.metric, (None, None))
        switch = telling.switch(watch, decision, release, now)
        alerts = [telling.alert(watch, decision, now)] if decision.metric else []
        told = self._tell([switch, *alerts])
        since = now
        if decision.to == "previous_prompt" and newest is not None and release is not None:
            self._restore(watch, decision, newest, release)
            since += PROMPTS_FOLLOW_NS
        fallback = decision.to == "fallback"
        state = RouteState(
            state="fallback" if fallback else "primary",
            since=since,
            reason=decision.reason,
            event_id=switch.event_id,
            canary=share if fallback else 0.0,
            metric=decision.metric,
        )
        states.write(watch.project, watch.name, state)
        return told

    def _releases(self, watch: Watch, state: RouteState, now: int) -> dict[str, tuple[Version, Release]]:
        """By metric: the prompt whose newest release may be at fault, as its guard names it, and that release."""
        found: dict[str, tuple[Version, Release]] = {}
        if watch.rule.mode != "auto" or state.state == "fallback":
            return found
        registry = Registry(self.store)
        for guard in watch.rule.all_guards:
            if guard.action == "previous_prompt":
                history = registry.history(watch.project, "prompt", guard.prompt)
                release = newest_release(history, guard.label)
                if release is not None and now - release.moved_at <= LOOK_BACK_NS:
                    found[guard.metric] = (history[0], release)
        return found

    def _restore(self, watch: Watch, decision: Decision, newest: Version, release: Release) -> None:
        assert decision.held is not None
        label = decision.held.guard.label
        document = restored(newest, label, release.before)
        draft = Draft(kind="prompt", name=newest.name, document=document)
        note = f"{label} back to version {release.before}: {decision.reason}"
        Registry(self.store, self.announce).put(watch.project, draft, BY_WORKER, note[:2000])

    def _cap_probes(
        self, watch: Watch, states: RouteStates, state: RouteState, share: float, now: int
    ) -> list[Event]:
        """Stop the probes of the day when they have cost what they may, and take them up on the next."""
        cap = watch.rule.probe_usd_per_day
        wanted = share
        if cap is not None:
            spent = spent_on(
                self.store,
                project=watch.project,
                route=watch.name,
                targets=primaries(watch.route),
                since=max(state.since, now - now % DAY),
            )
            wanted = share if spent < cap else 0.0
        if wanted == state.canary:
            return []
        states.write(watch.project, watch.name, replace(state, canary=wanted))
        if wanted:
            return []
        return tell_once(self.store, watch.project, [telling.probes_used_up(watch, str(cap), now)])

    def _tell(self, events: list[Event]) -> list[Event]:
        insert_events(self.store, events)
        return events


def newest_by_subject(rows: Sequence[LastState]) -> dict[str, LastState]:
    """The newest row of each subject."""
    found: dict[str, LastState] = {}
    for row in rows:
        if row.subject not in found or found[row.subject].time < row.time:
            found[row.subject] = row
    return found
