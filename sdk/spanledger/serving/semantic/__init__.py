"""The cache's second tier: answers to questions that mean the same, in the bounds of a certificate."""

from spanledger.serving.semantic.decision import CLOSED, Certificate, Decision, decide, is_audited
from spanledger.serving.semantic.index import Index, Match, Row
from spanledger.serving.semantic.question import Question, is_personal, partition
from spanledger.serving.semantic.recorded import Recorded, recorded_question, untold
from spanledger.serving.semantic.tier import Considered, Tier
from spanledger.serving.semantic.version import GUARD_VERSION, group

__all__ = [
    "CLOSED",
    "GUARD_VERSION",
    "Certificate",
    "Considered",
    "Decision",
    "Index",
    "Match",
    "Question",
    "Recorded",
    "Row",
    "Tier",
    "decide",
    "group",
    "is_audited",
    "is_personal",
    "partition",
    "recorded_question",
    "untold",
]
