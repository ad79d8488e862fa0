"""Regression runs: found when they are due, by schedule or change, and run in slices on a queue of their own."""

from __future__ import annotations

import json
import logging
from typing import Any

from clickhouse_connect.driver.exceptions import Error as StoreError

from spanledger_collector.store.reads.evaluation import LastState, last_states
from spanledger_collector.store.registry.documents import SHARED
from spanledger_collector.store.registry.evaluation import Regression
from spanledger_collector.store.registry.plan import Version
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.writes_evaluation import DeadLetter, insert_dead_letters
from spanledger_evaluators.catalogue import CannotBuild
from spanledger_evaluators.datasets import Dataset, DatasetError, case_of
from spanledger_evaluators.server import Collector, CollectorError
from spanledger_evaluators.settings import EvalSettings
from spanledger_evaluators.storing import store_run
from spanledger_evaluators.targets import RouteTarget, TargetError, prompt_release
from spanledger_workers import metrics
from spanledger_workers.app import BATCH, app
from spanledger_workers.audit import tell_once
from spanledger_workers.current import process
from spanledger_workers.evaluation.rules import Rule
from spanledger_workers.guard import MOST_TRIES, Attempts
from spanledger_workers.regressions.due import Due, depends_on, due, told_by
from spanledger_workers.regressions.running import (
    Begun,
    Verdict,
    client,
    judge,
    read_run,
    run_slice,
    verdict_events,
)
from spanledger_workers.ticks import Did, tick

LOST_S = 600  # a run whose slice was not heard of for so long is sent again
KINDS = ("regression", "route", "upstream", "prompt", "dataset")
log = logging.getLogger("spanledger.worker")


@tick("regressions", 30)
def regressions() -> Did:
    """Send the runs that are due and not under way."""
    rows = Registry(process.store).list_all(KINDS)
    wanted = [row for row in rows if row.kind == "regression"]
    sent = 0
    for project in sorted({row.project for row in wanted}):
        seen = [row for row in rows if row.project == SHARED] + [
            row for row in rows if row.project == project
        ]
        current = {(row.kind, row.name): row for row in seen}
        verdicts = {row.subject: row for row in last_states(process.store, project=project, kind="gate")}
        for row in wanted:
            found = _due(project, row, current, verdicts.get(row.name)) if row.project == project else None
            # The marker is the run's: taken once, kept alive by its slices, gone when it ended or was lost.
            if found and process.redis.set(_marker(project, row.name), found.run_id, ex=LOST_S, nx=True):
                _send(project, row.name, row.version, found)
                sent += 1
    return {"regressions": len(wanted), "sent": sent}


def _due(
    project: str, row: Version, current: dict[tuple[str, str], Version], last: LastState | None
) -> Due | None:
    document = Regression.model_validate(row.document)
    return due(project, row, document, depends_on(document, current), last, process.clock())


def _send(project: str, name: str, version: int, found: Due) -> None:
    told = {"run_id": found.run_id, "why": found.why, "depends": found.depends, "period": found.period}
    regress.apply_async((project, name, version, told), queue=BATCH)


@app.task(name="spanledger.regress", bind=True, max_retries=20)
def regress(self: Any, project: str, name: str, version: int, told: dict[str, Any]) -> None:
    """Go on with a run for some minutes; the next slice is a message of its own."""
    row = Registry(process.store).get(project, "regression", name, version)
    document = Regression.model_validate(row.document)
    begun = Begun(project=project, name=name, run_id=told["run_id"], why=told["why"], document=document)
    attempts = Attempts(process.redis)
    tries = attempts.begin([begun.run_id])[begun.run_id]
    process.redis.set(_marker(project, name), begun.run_id, ex=LOST_S)
    try:
        if tries > MOST_TRIES:
            _fail(begun, told, "its worker died each time")
        elif not _run(begun, told):
            attempts.forget([begun.run_id])
            regress.apply_async((project, name, version, told), queue=BATCH)
            return
    except (StoreError, CollectorError) as away:
        attempts.take_back([begun.run_id])
        raise self.retry(exc=away, countdown=30) from away
    except (CannotBuild, DatasetError, TargetError) as wrong:
        _fail(begun, told, str(wrong))
    attempts.forget([begun.run_id])
    process.redis.delete(_marker(project, name))


def _run(begun: Begun, told: dict[str, Any]) -> bool:
    """One slice; whether the run is over, its verdict told."""
    dataset = _dataset(begun)
    rule = Rule(
        project=begun.project,
        name=begun.name,
        version=0,
        scorers=tuple(begun.document.scorers),
        filter={},
        judge=None if begun.document.judge is None else begun.document.judge.model_dump(),
        options=dict(begun.document.options),
    )
    scorers = process.scorers(rule)
    settings = EvalSettings()

    async def go_on() -> Any:
        async with client() as http:
            collector = Collector(settings, http)
            prompt = await prompt_release(collector, begun.document.prompt) if begun.document.prompt else None
            target = RouteTarget(
                client=http,
                base_url=settings.gateway_url,
                model=begun.document.route,
                key=settings.key,
                prompt=prompt,
                experiment=f"{begun.name} {begun.run_id[:8]}",
            )
            run = await run_slice(process.store, begun, dataset, target, scorers)
            if run is not None:
                await _show(run, dataset, collector)
            return run

    run = process.runner.run(go_on())
    if run is None:
        return False
    last = _last(begun.project, "gate").get(f"regression:{begun.name}")
    base_id = str(told_by(last).get("base", ""))
    base = read_run(process.store, begun, dataset, base_id) if base_id else None
    _tell(begun, told, judge(run, base, begun.document), base_id)
    return True


async def _show(run: Any, dataset: Dataset, collector: Collector) -> None:
    """Store it where the pages compare experiments; the verdict does not depend on that."""
    try:
        await store_run(run, dataset.cases, collector)
    except CollectorError as away:
        log.warning("run %s is not on the pages: %s", run.name, away)


def _dataset(begun: Begun) -> Dataset:
    row = Registry(process.store).get(begun.project, "dataset", begun.document.dataset)
    cases = tuple(case_of(case) for case in row.document.get("cases") or ())
    found = Dataset(name=row.name, cases=cases).only(split=begun.document.split, limit=begun.document.limit)
    if len({case.id for case in found.cases}) < 2:
        raise DatasetError(f"dataset {row.name!r} holds fewer than two cases to compare")
    return found


def _fail(begun: Begun, told: dict[str, Any], why: str) -> None:
    now = process.clock()
    letter = DeadLetter(
        project=begun.project,
        time=now,
        source="task",
        reason="regression",
        message=why,
        payload=json.dumps(told),
    )
    insert_dead_letters(process.store, [letter])
    metrics.DEAD_LETTERS.labels("regression").inc()
    last = _last(begun.project, "gate").get(f"regression:{begun.name}")
    _tell(begun, told, Verdict("failed", why, {}), str(told_by(last).get("base", "")))


def _tell(begun: Begun, told: dict[str, Any], verdict: Verdict, base: str) -> None:
    alert = _last(begun.project, "alert").get(f"regression:{begun.name}")
    made = verdict_events(
        begun,
        verdict,
        depends=told["depends"],
        period=told["period"],
        base=base,
        firing=alert is not None and alert.state == "firing",
        now=process.clock(),
    )
    tell_once(process.store, begun.project, made)


def _last(project: str, kind: str) -> dict[str, LastState]:
    return {row.dedup_key: row for row in last_states(process.store, project=project, kind=kind)}


def _marker(project: str, name: str) -> str:
    return f"spanledger:regression:{project}:{name}"
