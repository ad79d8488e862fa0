"""Neighbours and a certificate in; hit, would-be hit or miss, and why, out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson

from spanledger.serving.semantic.guards import check
from spanledger.serving.semantic.index import Match

Outcome = Literal["hit", "would_hit", "miss"]


@dataclass(slots=True, frozen=True, kw_only=True)
class Certificate:
    """What the workers found about a route's semantic hits; closed until they say otherwise.

    ``threshold`` is the cosine from which hits are served; ``bound`` the share of wrong hits that is not
    exceeded with 95 % confidence; ``needed`` how many more checks without error would open the tier.
    """

    state: Literal["closed", "open"] = "closed"
    threshold: float = 1.0
    group: str = ""
    bound: float | None = None
    allowed: float | None = None
    checks: int = 0
    wrong: int = 0
    needed: int | None = None
    since: int = 0
    reason: str = ""
    audit_share: float | None = None  # the share of hits to be asked again now; None: the rule's
    apart: Mapping[str, float] = field(
        default_factory=dict[str, float]
    )  # partitions' own thresholds, 0: closed

    def threshold_of(self, partition: str) -> float | None:
        """The cosine from which a partition's hits are served; None: none are."""
        own = self.apart.get(partition)
        return self.threshold if own is None else own or None

    @staticmethod
    def read(fields: Mapping[bytes, bytes]) -> Certificate:
        """Read the Redis hash; what cannot be read is closed."""
        given = {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in fields.items()}
        threshold = _share(given.get("threshold", ""))
        apart = _thresholds(given.get("apart", "{}"))
        if given.get("state") != "open" or threshold is None or apart is None:
            return Certificate(reason=given.get("reason", ""), group=given.get("group", ""))
        return Certificate(
            state="open",
            threshold=threshold,
            group=given.get("group", ""),
            bound=_share(given.get("bound", "")),
            allowed=_share(given.get("allowed", "")),
            checks=_count(given.get("checks", "")) or 0,
            wrong=_count(given.get("wrong", "")) or 0,
            needed=_count(given.get("needed", "")),
            since=_count(given.get("since", "")) or 0,
            reason=given.get("reason", ""),
            audit_share=_share(given.get("audit_share", "")),
            apart=apart,
        )


CLOSED = Certificate()


@dataclass(slots=True, frozen=True, kw_only=True)
class Decision:
    """What becomes of a question. ``refused`` are the guards that refused nearer entries, in order.

    Reasons of a miss: ``empty`` (nothing alike), ``guards``; of a would-be hit: ``closed``, ``group`` (the
    certificate is of another group), ``apart`` (its partition is closed), ``threshold``.
    """

    outcome: Outcome = "miss"
    reason: str = "empty"
    match: Match | None = None
    refused: Sequence[str] = field(default_factory=tuple[str, ...])


def decide(
    question: str, matches: Sequence[Match], certificate: Certificate, group: str, lowest_similarity: float
) -> Decision:
    """Take the nearest entry that no guard refuses, and serve it only where the certificate says so."""
    refused: list[str] = []
    for match in matches:
        if match.similarity < lowest_similarity:
            break
        guard = check(question, match.row.question)
        if not guard:
            reason = _closed(match, certificate, group)
            return Decision(
                outcome="would_hit" if reason else "hit", reason=reason, match=match, refused=tuple(refused)
            )
        refused.append(guard)
    return Decision(reason="guards" if refused else "empty", refused=tuple(refused))


def _closed(match: Match, certificate: Certificate, group: str) -> str:
    if certificate.state != "open":
        return "closed"
    if certificate.group != group:
        return "group"
    threshold = certificate.threshold_of(match.row.partition)
    if threshold is None:
        return "apart"
    return "threshold" if match.similarity < threshold else ""


def is_audited(trace_id: bytes, span_id: bytes, share: float) -> bool:
    """Whether a hit belongs to the share that is asked again; the same hit always gives the same answer."""
    drawn = hashlib.blake2b(trace_id + span_id, digest_size=8).digest()
    return int.from_bytes(drawn, "big") < share * 2**64


def _share(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0.0 <= number <= 1.0 else None


def _thresholds(value: str) -> Mapping[str, float] | None:
    """Partitions' own thresholds; None when they cannot be read: what is apart must not be served."""
    try:
        told: object = orjson.loads(value)
        return {str(name): float(at) for name, at in told.items()} if isinstance(told, dict) else None  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    except (ValueError, TypeError):
        return None


def _count(value: str) -> int | None:
    return int(value) if value.isdigit() else None
