"""The semantic cache's bound: hits are checked, tiers are opened and closed."""

from __future__ import annotations

from collections.abc import Sequence

from spanledger_evaluators.cached_answers import CachedAnswer
from spanledger_evaluators.catalogue import JudgeNeeded
from spanledger_evaluators.contract import Scorer
from spanledger_workers.app import JUDGED
from spanledger_workers.caching import metrics
from spanledger_workers.caching.certifying import Certifying
from spanledger_workers.caching.checking import Checker
from spanledger_workers.caching.replaying import LONGEST_S, Replaying
from spanledger_workers.caching.rules import Tier, tiers
from spanledger_workers.current import process
from spanledger_workers.evaluation.caps import Caps
from spanledger_workers.ticks import Did, tick

from .telling import log_events


def known_tiers() -> list[Tier]:
    """The routes with a semantic tier, as they are configured now."""
    rows = process.documents().routes
    return tiers((row.project, row.name, row.version, row.document, row.time) for row in rows)


def scorers(tier: Tier) -> Sequence[Scorer]:
    """What compares a tier's answers; a judge that is not there is as none."""
    try:
        judge = process.judge(tier.rule)
    except JudgeNeeded:
        judge = None
    return [CachedAnswer(judge=judge)]


@tick("cache_checks", 3, longest_s=240, queue=JUDGED)
def cache_checks() -> Did:
    """Have new hits and would-be hits judged."""
    known = known_tiers()
    if not known:
        return {}
    settings = process.settings
    caps = Caps(
        store=process.store,
        redis=process.redis,
        per_project=settings.eval_project_daily_cap,
        total=settings.eval_daily_cap,
    )
    checker = Checker(
        store=process.store,
        redis=process.redis,
        runner=process.runner,
        scorers=scorers,
        caps=caps,
        clock=process.clock,
    )
    return checker.tick(known)


@tick("cache_replay", 5, longest_s=LONGEST_S + 60)
def cache_replay() -> Did:
    """Find what a new tier would have answered among calls made before it."""
    known = known_tiers()
    if not known:
        return {}
    told = Replaying(store=process.store, redis=process.redis).tick(known, process.clock())
    log_events(told)
    return {"replayed": len(told)}


@tick("cache_certify", 2)
def cache_certify() -> Did:
    """Open, tighten and close tiers by what checks have found."""
    known = known_tiers()
    if not known:
        return {}
    certifying = Certifying(store=process.store, redis=process.redis)
    told = certifying.tick(known, process.clock())
    log_events(told)
    for tier in known:
        metrics.shown(tier.project, tier.route, certifying.published(tier))
    return {"tiers": len(known), "events": len(told)}
