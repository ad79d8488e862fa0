"""What a person decides and says, as entries of the trail and as scores: small functions for pages and the API.

What is decided about the loop and its alerts is an event, so that it is history and audit too; workers read it from there.
"""

from __future__ import annotations

import json
import uuid

from spanledger.records import Event, EventKind, Score

from .clickhouse import Client
from .reads.scored import subjects
from .writes_evaluation import insert_events, insert_scores, score_id_of

MARK = "dataset"
"""Name of the score that marks a call for the dataset its label names."""


def reset_baseline(client: Client, *, project: str, route: str, metric: str, author: str, now: int) -> Event:
    """Let the loop learn a guard's baseline anew, from calls that start after ``now`` (ns)."""
    return _tell(
        client,
        "baseline",
        project=project,
        subject=route,
        time=now,
        title=f"Baseline of {metric} on {route} is to be learned anew",
        state="reset",
        dedup_key=metric,
        author=author,
    )


def accept_baseline(
    client: Client,
    *,
    project: str,
    route: str,
    metric: str,
    value: float,
    targets: str,
    author: str,
    now: int,
) -> Event:
    """Accept a value as a guard's baseline by hand; ``targets`` as the newest baseline event names them."""
    evidence: dict[str, object] = {
        "metric": metric,
        "value": value,
        "worst": value,
        "samples": 0,
        "targets": targets,
        "until": now,
    }
    return _tell(
        client,
        "baseline",
        project=project,
        subject=route,
        time=now,
        title=f"Baseline of {metric} on {route} accepted: {value:g}",
        state="accepted",
        dedup_key=metric,
        author=author,
        evidence=evidence,
    )


def silence(
    client: Client, *, project: str, dedup_key: str, until: int, author: str, now: int, reason: str = ""
) -> Event:
    """Send nothing of an alert until a moment (ns); a key that ends in ``*`` stands for all that begin so.

    A rule NAME's alerts have the key ``alert:NAME``, split ones ``alert:NAME:...``; a route's ``quality:ROUTE:METRIC``;
    a budget's ``budget:NAME:...``. The alerts stand in the trail all the same. Raises ValueError for a past moment.
    """
    if until <= now:
        raise ValueError("a silence ends in the future")
    return _tell(
        client,
        "silence",
        project=project,
        subject=dedup_key,
        time=now,
        title=f"{dedup_key} is silenced",
        message=reason,
        state="silenced",
        dedup_key=dedup_key,
        author=author,
        evidence={"until": until},
    )


def end_silence(client: Client, *, project: str, dedup_key: str, author: str, now: int) -> Event:
    """Send again what ``silence`` held back from now on."""
    return _tell(
        client,
        "silence",
        project=project,
        subject=dedup_key,
        time=now,
        title=f"{dedup_key} is told again",
        state="unsilenced",
        dedup_key=dedup_key,
        author=author,
    )


def acknowledge(
    client: Client, *, project: str, dedup_key: str, author: str, now: int, reason: str = ""
) -> Event:
    """Somebody is at it: the alert is not told again while it fires; its end is."""
    return _tell(
        client,
        "silence",
        project=project,
        subject=dedup_key,
        time=now,
        title=f"{dedup_key} is acknowledged",
        message=reason,
        state="acknowledged",
        dedup_key=dedup_key,
        author=author,
    )


def judge_by_hand(
    client: Client,
    *,
    project: str,
    trace: str,
    span: str,
    name: str,
    author: str,
    now: int,
    value: float | None = None,
    label: str = "",
    comment: str = "",
) -> Score:
    """Store what a person says of a call; said again by the same person under the same name, it replaces the first.

    Raises ValueError where the project has no such call.
    """
    about = subjects(client, project, [trace]).get((trace, span))
    if about is None:
        raise ValueError("There is no such call in this project.")
    made = Score(
        project=project,
        score_id=score_id_of(trace, span, name, "human", "", author),
        trace_id=bytes.fromhex(trace),
        span_id=bytes.fromhex(span),
        name=name,
        value=value,
        label=label,
        explanation=comment,
        source="human",
        author=author,
        time=about.start,
        created_at=now,
        route=about.route,
        upstream=about.upstream,
        request_model=about.request_model,
    )
    insert_scores(client, [made])
    return made


def _tell(
    client: Client,
    kind: EventKind,
    *,
    project: str,
    subject: str,
    time: int,
    title: str,
    state: str,
    dedup_key: str,
    author: str,
    message: str = "",
    evidence: dict[str, object] | None = None,
) -> Event:
    told = Event(
        project=project,
        event_id=str(uuid.uuid4()),
        time=time,
        kind=kind,
        subject=subject,
        title=title,
        message=message,
        evidence=json.dumps(evidence, sort_keys=True) if evidence else "",
        dedup_key=dedup_key,
        state=state,
        author=author,
    )
    insert_events(client, [told])
    return told
