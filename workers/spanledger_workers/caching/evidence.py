"""Verdicts on a tier's hits in; the evidence about its thresholds, kept between looks, out.

The store holds every verdict, so the evidence can be built anew at any time; what is kept in Redis only saves that
work. Whatever changes what the verdicts mean (the rule, the judge, the guards, the embedder) begins anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

from spanledger_collector.store.reads.cache_checks import Verdict
from spanledger_evaluators.stats.certificate import Check
from spanledger_evaluators.stats.judge_error import JudgeError, measure
from spanledger_evaluators.stats.pooling import Pool
from spanledger_evaluators.stats.wrong_rate import Notice

from .rules import Tier

Call = tuple[str, str]
_HALF = 0.5


@dataclass(slots=True, kw_only=True)
class Evidence:
    """All that is known of one tier. ``cursor``: the newest verdict that was looked at (ns, when it was made)."""

    tier: Tier
    cursor: int = 0
    unjudged: int = 0
    judge: JudgeError = field(default_factory=JudgeError)
    pool: Pool = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is known yet."""
        self.pool = Pool(
            allowed=self.tier.semantic.max_wrong_hits, thresholds=self.tier.thresholds, judge=self.judge
        )

    @property
    def signature(self) -> str:
        """What the verdicts count for."""
        semantic = self.tier.semantic
        return json.dumps(
            [self.tier.group, semantic.max_wrong_hits, self.tier.thresholds[-1], self.tier.judge_id]
        )

    def add(self, verdicts: Sequence[Verdict], cursor: int) -> None:
        """Count verdicts made since the cursor, in the order made."""
        for verdict in verdicts:
            if not counts(verdict, self.tier.judge_id):
                continue
            if verdict.value is None:
                self.unjudged += 1
            else:
                # A replay cannot know a gateway's partitions: what it finds speaks for all of them together.
                self.pool.add(None if verdict.cache == "replay" else verdict.partition, _check(verdict))
        self.cursor = cursor

    def to_json(self) -> str:
        """Everything, for storage."""
        bounds = self.judge.bounds
        judge = [bounds.notices, bounds.alarms, self.judge.alarm_rate, self.judge.labels, self.judge.measured]
        kept: dict[str, Any] = {"signature": self.signature, "cursor": self.cursor, "unjudged": self.unjudged}
        return json.dumps(kept | {"judge": judge, "pool": self.pool.state()})


def restored(tier: Tier, text: str) -> Evidence:
    """What ``to_json`` wrote of this tier. Raises ValueError, KeyError or TypeError for anything else."""
    kept: dict[str, Any] = json.loads(text)
    made = Evidence(tier=tier, judge=_judge(*kept["judge"]))
    if kept["signature"] != made.signature:
        raise ValueError("the rule has changed")
    made.cursor, made.unjudged = int(kept["cursor"]), int(kept["unjudged"])
    made.pool.restore(kept["pool"])
    return made


def rebuilt(tier: Tier, verdicts: Sequence[Verdict], cursor: int) -> Evidence:
    """The evidence of all verdicts there are: a person's stands for the worker's on the same call."""
    by_call: dict[Call, list[Verdict]] = {}
    for verdict in verdicts:
        by_call.setdefault((verdict.trace_id, verdict.span_id), []).append(verdict)
    judge, overturned = _measured(by_call, tier.judge_id)
    made = Evidence(tier=tier, judge=judge if not overturned else _without_credit(judge))
    standing = [found for found in (_standing(told) for told in by_call.values()) if found is not None]
    made.add(sorted(standing, key=lambda verdict: verdict.created_at), cursor)
    return made


def is_person(verdict: Verdict) -> bool:
    """Whether somebody looked."""
    return verdict.source not in ("judge", "match")


def counts(verdict: Verdict, judge_id: str) -> bool:
    """Whether a verdict is of the judge that is named now, of equal texts, or of a person."""
    return verdict.source != "judge" or verdict.judge_id in ("", judge_id)


def _standing(told: Sequence[Verdict]) -> Verdict | None:
    """Of the verdicts on one call the one that counts, in the place of the worker's.

    Nobody chose at random which calls a person looks at. So beyond the sample only "wrong" counts: it can
    only close a tier.
    """
    checked = next((verdict for verdict in reversed(told) if not is_person(verdict)), None)
    person = next((verdict for verdict in reversed(told) if is_person(verdict)), None)
    if person is None or person.value is None:
        return checked
    if checked is not None:
        return replace(checked, value=person.value, source="human", status="ok")
    return person if person.value < _HALF else None


def _measured(by_call: dict[Call, list[Verdict]], judge_id: str) -> tuple[JudgeError, bool]:
    """How the judge compares with people, and whether they overturned any of its alarms."""
    pairs: Counter[tuple[bool, bool]] = Counter()
    for told in by_call.values():
        judged = next(
            (v for v in told if v.source == "judge" and v.judge_id == judge_id and v.value is not None), None
        )
        person = next((v for v in reversed(told) if is_person(v) and v.value is not None), None)
        if judged is not None and person is not None:
            pairs[_is_wrong(judged), _is_wrong(person)] += 1
    seen = [pair for pair, times in pairs.items() for _ in repeat(None, times)]
    return measure(seen), pairs[True, False] > 0


def _without_credit(judge: JudgeError) -> JudgeError:
    """Alarms that people took back are no longer among the wrong ones: what is left must not be discounted too."""
    bounds = judge.bounds
    return _judge(bounds.notices, 0.0, judge.alarm_rate, judge.labels, judge.measured)


def _judge(
    notices: float, alarms: float, alarm_rate: float | None, labels: int, measured: bool
) -> JudgeError:
    return JudgeError(bounds=Notice(notices, alarms), alarm_rate=alarm_rate, labels=labels, measured=measured)


def _check(verdict: Verdict) -> Check:
    served = verdict.cache == "semantic"
    share = verdict.sample_rate or 1.0
    return Check(
        similarity=verdict.similarity,
        wrong=_is_wrong(verdict),
        sure=verdict.source != "judge",
        stands_for=1 / share if served else 0.0,
    )


def _is_wrong(verdict: Verdict) -> bool:
    return verdict.value is not None and verdict.value < _HALF
