"""One route's semantic tier in one process: questions and answers in, decisions out.

Both the gateway and wrapped clients hold one a route; where entries and certificates come from is theirs to say.
Not safe in several threads, as its index.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from spanledger.serving.semantic.decision import CLOSED, Certificate, Decision, decide
from spanledger.serving.semantic.embedder import Embedder
from spanledger.serving.semantic.index import Index, Row
from spanledger.serving.semantic.question import Question
from spanledger.serving.semantic.version import group
from spanledger.serving.snapshot import SemanticRule

MOST_NEIGHBOURS = 8


@dataclass(slots=True)
class Considered:
    """A decision, the question's vector, and what embedding took in seconds."""

    decision: Decision
    vector: bytes | None
    embed_s: float


class Tier:
    """The index, the rule and the certificate of one route of one project."""

    def __init__(self, project: str, route: str, rule: SemanticRule) -> None:
        self.rule = rule
        self.group = group(project, route, rule.embedder)
        self.certificate: Certificate = CLOSED
        self.index = Index(rule.max_entries)

    @property
    def is_open(self) -> bool:
        """Whether hits may be served at all."""
        return self.certificate.state == "open" and self.certificate.group == self.group

    @property
    def audit_share(self) -> float:
        """The share of hits to be asked again: what the certificate says, at least the rule's."""
        return max(self.rule.audit_share, self.certificate.audit_share or 0.0)

    def consider(self, question: Question, vector: bytes | None, now: float) -> Decision:
        """What becomes of a question whose vector is known; None: it is too long for the tier."""
        if vector is None:
            return Decision(reason="long")
        matches = self.index.search(question.digest, vector, now, MOST_NEIGHBOURS)
        return decide(question.text, matches, self.certificate, self.group, self.rule.lowest_similarity)

    def ask(self, question: Question, embedder: Embedder, now: float) -> Considered:
        """Embed a question and decide."""
        started = time.perf_counter()
        vector = embedder.embed(question.text, self.rule.max_question_tokens)
        took = time.perf_counter() - started
        return Considered(self.consider(question, vector, now), vector, took)

    def remember(self, row: Row, vector: bytes) -> None:
        """Make an answer findable."""
        self.index.capacity = self.rule.max_entries
        self.index.add(row, vector)
