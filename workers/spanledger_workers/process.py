"""What one worker process holds: the store, Redis, current documents, an event loop, judges."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from redis.exceptions import RedisError

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.registry.documents import parse
from spanledger_collector.store.registry.evaluation import Alert
from spanledger_collector.store.registry.finance import GpuPool
from spanledger_collector.store.registry.plan import Version
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.registry.serving import Budget, Route, Upstream
from spanledger_evaluators import catalogue
from spanledger_evaluators.contract import Scorer
from spanledger_evaluators.judge import Judge, JudgeSettings

from .clock import SECOND
from .evaluation.pace import JudgePace
from .evaluation.rules import Rule
from .journal import Journal
from .memory import Memory, connect_memory
from .settings import WorkerSettings

T = TypeVar("T")
KINDS = ("evaluator", "route", "budget", "upstream", "gpu_pool", "alert")
_DOCUMENTS_FRESH_NS = 2 * SECOND


@dataclass(frozen=True, slots=True)
class Named(Generic[T]):
    """One current document of a project, parsed."""

    project: str
    name: str
    version: int
    document: T
    time: int = 0  # when this version was stored, ns


@dataclass(slots=True)
class Documents:
    """The current documents that workers live by."""

    rules: list[Rule] = field(default_factory=list[Rule])
    routes: list[Named[Route]] = field(default_factory=list[Named[Route]])
    budgets: list[Named[Budget]] = field(default_factory=list[Named[Budget]])
    upstreams: list[Named[Upstream]] = field(default_factory=list[Named[Upstream]])
    pools: list[Named[GpuPool]] = field(default_factory=list[Named[GpuPool]])
    alerts: list[Named[Alert]] = field(default_factory=list[Named[Alert]])

    @classmethod
    def of(cls, versions: Sequence[Version]) -> Documents:
        """Sort stored documents by kind."""
        made = cls()
        for row in versions:
            document: Any = parse(row.kind, row.document)
            if row.kind == "evaluator":
                made.rules.append(_rule(row, document))
                continue
            named: Named[Any] = Named(row.project, row.name, row.version, document, row.time)
            lists: dict[str, list[Any]] = {
                "route": made.routes,
                "budget": made.budgets,
                "upstream": made.upstreams,
                "gpu_pool": made.pools,
                "alert": made.alerts,
            }
            lists[row.kind].append(named)
        return made


class Process:
    """Everything a task needs, made when first asked for and kept for the life of the process."""

    def __init__(self, settings: WorkerSettings, clock: Callable[[], int] = time.time_ns) -> None:
        """Nothing is opened yet, so that a parent may make it before it forks."""
        self.settings = settings
        self.clock = clock
        self._documents = Documents()
        self._read_at = 0
        self._scorers: dict[tuple[str, str], Scorer] = {}
        self._judges: dict[str, Judge] = {}
        self.journal = Journal(lambda: self.store, clock)

    @cached_property
    def store(self) -> Client:
        """The store's client."""
        return connect(self.settings)

    @cached_property
    def redis(self) -> Memory:
        """Route state, budget counters, watermarks and locks."""
        return connect_memory(self.settings.redis_url)

    def announce(self, project: str, kind: str, name: str) -> None:
        """Say that a document changed: gateways look at once, and anyway within two seconds."""
        message = {"kind": "registry", "project": project, "document": kind, "name": name}
        with contextlib.suppress(RedisError):
            self.redis.publish("spanledger:changes", json.dumps(message))

    @cached_property
    def runner(self) -> asyncio.Runner:
        """One event loop for all scoring of this process, so that connections to judges stay open."""
        return asyncio.Runner()

    def documents(self) -> Documents:
        """Current documents, at most two seconds old."""
        now = self.clock()
        if now - self._read_at > _DOCUMENTS_FRESH_NS:
            self._documents = Documents.of(Registry(self.store).list_all(KINDS))
            self._read_at = now
        return self._documents

    def scorers(self, rule: Rule) -> list[Scorer]:
        """The rule's scorers; raises ``catalogue.CannotBuild``."""
        judge = self.judge(rule)
        found: list[Scorer] = []
        for name in rule.scorers:
            options = rule.options.get(name, {})
            key = (name, f"{judge.id if judge else ''} {json.dumps(options, sort_keys=True)}")
            if key not in self._scorers:
                self._scorers[key] = catalogue.build(name, judge, options)
            found.append(self._scorers[key])
        return found

    def judge(self, rule: Rule) -> Judge | None:
        """The rule's judge, None where it names none; raises ``catalogue.JudgeNeeded`` for one that is not there."""
        if rule.judge is None:
            return None
        settings = self._judge_settings(rule.project, rule.judge)
        pace = self.pace(rule)
        key = f"{settings.base_url} {settings.model} {pace.per_minute if pace else ''}"
        if key not in self._judges:
            self._judges[key] = self.runner.run(_made(settings, pace))
        return self._judges[key]

    def pace(self, rule: Rule) -> JudgePace | None:
        """The stream of requests that the rule's judge shares with other workers; None where nothing limits it."""
        limit = rule.judge.get("requests_per_minute") if rule.judge else None
        if rule.judge is None or not limit:
            return None
        named = [str(rule.judge.get(part) or "") for part in ("route", "upstream", "model")]
        return JudgePace(self.redis, ":".join([rule.project, *named]), int(limit))

    def _judge_settings(self, project: str, judge: dict[str, Any]) -> JudgeSettings:
        """A route is called through the gateway under its public name; an upstream directly."""
        if judge.get("route"):
            gateway = self.settings
            return JudgeSettings(model=judge["route"], base_url=gateway.gateway_url, key=gateway.key)
        for entry in self.documents().upstreams:
            if entry.name == judge["upstream"] and entry.project in (project, "*"):
                secret = os.environ.get(entry.document.key_env, "") if entry.document.key_env else ""
                return JudgeSettings(model=judge["model"], base_url=entry.document.base_url, key=secret)
        raise catalogue.JudgeNeeded(f"there is no upstream {judge['upstream']!r} for the judge")


async def _made(settings: JudgeSettings, pace: JudgePace | None) -> Judge:
    return Judge(settings, admit=pace.admit if pace else None)


def _rule(row: Version, document: Any) -> Rule:
    return Rule(
        project=row.project,
        name=row.name,
        version=row.version,
        scorers=tuple(document.scorers),
        filter=dict(document.filter),
        rate=document.rate,
        delay_s=document.delay_s,
        daily_cap=None if document.daily_cap is None else str(document.daily_cap),
        judge=None if document.judge is None else document.judge.model_dump(),
        options=dict(document.options),
        strata=tuple(stratum.model_dump() for stratum in document.strata),
    )
