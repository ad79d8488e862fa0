"""Retention rules of projects in; the tables' TTL out.

A row goes when its project's rule says so. Where all projects keep rows equally long, whole months are dropped,
which costs nothing; where they differ, the engine rewrites parts to take rows out of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from clickhouse_connect.driver.exceptions import Error as EngineError

from .clickhouse import Client
from .cluster import local_name, on_cluster
from .registry.evaluation import Retention
from .registry.registry import Registry

log = logging.getLogger(__name__)

_FOR_EVER = "toDateTime('2105-12-31 00:00:00', 'UTC')"  # the last year that a DateTime can hold
_EVERY_PROJECT = "*"
_MARK = "retention "


@dataclass(frozen=True, slots=True)
class Days:
    """For how many days rows of a project are kept; None for ever."""

    spans: int | None = None
    scores: int | None = None
    events: int | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    table: str
    time: str
    rule: str  # the field of Days


# Whatever quotes a span's content or counts what lists show goes with the spans.
_TABLES = (
    _Kept("spans", "start_time", "spans"),
    _Kept("eval_jobs", "time", "spans"),
    _Kept("dead_letters", "time", "spans"),
    _Kept("engine_samples", "time", "spans"),
    _Kept("repricings", "start_time", "spans"),
    _Kept("cache_meetings", "start_time", "spans"),
    _Kept("gpu_costs", "time", "spans"),
    _Kept("call_hour", "hour", "spans"),
    _Kept("call_day", "day", "spans"),
    _Kept("person_day", "day", "spans"),
    _Kept("scores", "time", "scores"),
    _Kept("events", "time", "events"),
    _Kept("eval_coverage", "window_start", "scores"),
    _Kept("regression_rows", "time", "scores"),
)


def strictest(rules: Iterable[tuple[str, Days]]) -> dict[str, Days]:
    """One rule a project: of several, the shortest time of each kind."""
    found: dict[str, Days] = {}
    for project, days in rules:
        other = found.get(project, Days())
        found[project] = Days(
            _shorter(days.spans, other.spans),
            _shorter(days.scores, other.scores),
            _shorter(days.events, other.events),
        )
    return found


def apply_retention(client: Client, rules: Mapping[str, Days], cluster: str = "") -> list[str]:
    """Make the tables keep rows as the rules say and return the names of those changed.

    ``rules`` go by project; ``*`` stands for every project without one. What a table was last told is kept in its
    comment, so that nothing is done twice.
    """
    changed: list[str] = []
    comments = _comments(client)
    for kept in _TABLES:
        days = {project: getattr(rule, kept.rule) for project, rule in rules.items()}
        statements = retention_statements(kept.table, kept.time, days)
        mark = _MARK + sha256("\n".join(statements).encode()).hexdigest()[:16]
        name = local_name(kept.table) if cluster else kept.table
        told = comments.get(name, "")
        if told == mark or (not told and not any(days.values())):
            continue
        for statement in (*statements, f"ALTER TABLE {kept.table} MODIFY COMMENT '{mark}'"):
            for part in on_cluster(statement, cluster, client.database) if cluster else [statement]:
                client.command(part)
        changed.append(kept.table)
    return changed


def retention_statements(table: str, time: str, days: Mapping[str, int | None]) -> list[str]:
    """The statements that give ``table`` its TTL from days by project; None is for ever."""
    default = days.get(_EVERY_PROJECT)
    own = {project: kept for project, kept in days.items() if project != _EVERY_PROJECT and kept != default}
    cases = [f"project = {_literal(project)}, {_end(time, kept)}" for project, kept in sorted(own.items())]
    end = f"multiIf({', '.join(cases)}, {_end(time, default)})" if cases else _end(time, default)
    whole_parts = 0 if cases else 1
    return [
        f"ALTER TABLE {table} MODIFY SETTING ttl_only_drop_parts = {whole_parts}",
        f"ALTER TABLE {table} MODIFY TTL {end}",
    ]


def _end(time: str, days: int | None) -> str:
    at = f"toDateTime({time}, 'UTC')"
    # A TTL must depend on a column; taking one away would fail where an interrupted change has done so already.
    return f"greatest({at}, {_FOR_EVER})" if days is None else f"{at} + toIntervalDay({int(days)})"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _shorter(one: int | None, other: int | None) -> int | None:
    return min((days for days in (one, other) if days is not None), default=None)


def _comments(client: Client) -> dict[str, str]:
    rows = client.query(
        "SELECT name, comment FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    return {str(name): str(comment) for name, comment in rows if str(comment).startswith(_MARK)}


class RetentionKeeper:
    """Looks every ``interval_s`` whether the registry's retention documents changed, and applies them."""

    def __init__(self, client: Client, registry: Registry, cluster: str = "", interval_s: float = 30) -> None:
        self._client, self._registry, self._cluster = client, registry, cluster
        self._interval_s = interval_s
        self._seen = -1
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Apply now and go on looking."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is being done."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def look(self) -> list[str]:
        """Apply the documents if any document changed since the last look; the names of changed tables."""
        revision = self._registry.revision()
        if revision == self._seen:
            return []
        changed = apply_retention(self._client, registry_rules(self._registry), self._cluster)
        self._seen = revision
        return changed

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                for table in self.look():
                    log.info("retention of %s changed", table)
            except EngineError as away:
                log.warning("retention could not be applied, trying again: %s", str(away)[:200])
            self._stopping.wait(self._interval_s)


def registry_rules(registry: Registry) -> dict[str, Days]:
    """The rules that the current ``retention`` documents of all projects make."""
    documents = registry.list_all(["retention"])
    rules = ((row.project, Retention.model_validate(row.document)) for row in documents)
    return strictest(
        (project, Days(rule.spans_days, rule.scores_days, rule.events_days)) for project, rule in rules
    )
