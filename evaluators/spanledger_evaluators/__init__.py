"""Judge, scorers, experiments and statistics: cases in, scores out."""

from .contract import Case, Document, JudgeFailure, Result, Scorer, ToolCall, Turn, scorer
from .running import score_case, score_cases

__all__ = [
    "Case",
    "Document",
    "JudgeFailure",
    "Result",
    "Scorer",
    "ToolCall",
    "Turn",
    "score_case",
    "score_cases",
    "scorer",
]
