"""The cache's second tier: answers to questions that mean the same, in the bounds of a certificate."""

from spanledger.serving.semantic.question import Question, is_personal, partition
from spanledger.serving.semantic.version import GUARD_VERSION, group

__all__ = ["GUARD_VERSION", "Question", "group", "is_personal", "partition"]
