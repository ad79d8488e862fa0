"""Names in, scorers out: the built-in ones and those that other packages register.

A package registers its scorers in entry-point group ``spanledger.scorers``: a name, and a Scorer
object, or a Scorer class. A class with ``needs_judge`` is made with the judge, others with nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from .contract import Scorer

if TYPE_CHECKING:
    from .judge import Judge

GROUP = "spanledger.scorers"

# Written as text, so that looking a name up imports one module and no evaluation library.
_BUILT_IN = {
    "groundedness": "spanledger_evaluators.scorers.groundedness:Groundedness",
}


class UnknownScorer(LookupError):
    """No scorer has this name."""


class JudgeNeeded(ValueError):
    """The scorer asks a model, and none is configured."""


def names() -> list[str]:
    """Every name that ``build`` knows."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def build(name: str, judge: Judge | None = None) -> Scorer:
    """The scorer of that name; those that ask a model get the judge.

    Raises:
        UnknownScorer: nothing is registered under the name.
        JudgeNeeded: it needs a judge and got None.
        ImportError: its library is not installed.
    """
    made = _factory(name)
    if isinstance(made, Scorer):
        return made
    if not getattr(made, "needs_judge", True):
        return made()
    if judge is None:
        raise JudgeNeeded(f"scorer {name!r} asks a model: name a judge")
    return made(judge)


def _factory(name: str) -> Scorer | Callable[..., Scorer]:
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=GROUP, name=name):
        found: Any = point.load()
        return found
    raise UnknownScorer(f"there is no scorer {name!r}; known: {', '.join(names())}")
