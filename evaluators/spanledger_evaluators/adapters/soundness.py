"""What the libraries do not check: a judge's structured answer in, nothing or the reason to refuse it out.

Both libraries average whatever comes: seven for a yes, five verdicts for two statements, and no
verdicts at all as a perfect score. These rules stand between the judge and their arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel

from spanledger_evaluators.contract import JudgeFailure

_BINARY = frozenset({"verdict", "attributed", "noncommittal"})
_VERDICTS = _BINARY | {"score"}


@dataclass(slots=True)
class Session:
    """The questions put to the judge about one case, in order.

    ``expected`` is how many verdicts the next list must hold, None when nobody can know. Lists of
    texts (claims, statements, opinions) that the judge extracts are remembered by name in
    ``extracted``; ``counted`` names the one whose length the verdicts must have. ``faults``: the list names
    what is wrong among ``items`` by ``index``, each once, and may be empty.
    """

    counted: str = ""
    expected: int | None = None
    most: int | None = None
    items: int = 0
    faults: bool = False
    extracted: dict[str, int] = field(default_factory=dict[str, int])
    verdicts: int = 0

    def check(self, answer: BaseModel) -> None:
        """Raises ValueError (worth asking again) or JudgeFailure ``no_verdict`` (an empty list)."""
        for name, value in _fields(answer):
            if isinstance(value, list):
                self._check_list(name, cast("list[Any]", value))
        for name, value in _leaves(answer):
            self.verdicts += name in _VERDICTS
            if name in _BINARY and isinstance(value, int) and value not in (0, 1):
                raise ValueError(f"{name} is {value}, not 0 or 1")

    def require_verdict(self) -> None:
        """Raises JudgeFailure ``no_verdict`` when the metric never came to ask for one."""
        if not self.verdicts:
            raise JudgeFailure("no_verdict", "the judge found nothing to give a verdict on")

    def _check_list(self, name: str, entries: list[Any]) -> None:
        if self.faults:
            self._check_faults(name, entries)
            return
        if not entries:
            raise JudgeFailure("no_verdict", f"the judge found no {name}")
        if isinstance(entries[0], str):
            self.extracted[name] = len(entries)
            return
        wanted = self.extracted.get(self.counted) if self.counted else self.expected
        if wanted is not None and len(entries) != wanted:
            raise ValueError(f"{len(entries)} {name} where {wanted} were asked for")
        if self.most is not None and len(entries) > self.most:
            raise ValueError(f"{len(entries)} {name} where at most {self.most} make sense")

    def _check_faults(self, name: str, entries: list[Any]) -> None:
        places = [getattr(entry, "index", None) for entry in entries]
        if len(set(places)) != len(places) or not set(places) <= set(range(self.items)):
            raise ValueError(
                f"{name} name the items {places}, where each of 0 to {self.items - 1} may come once"
            )
        self.verdicts += 1


def _fields(answer: BaseModel) -> Iterator[tuple[str, Any]]:
    for name in type(answer).model_fields:
        yield name, getattr(answer, name)


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, BaseModel):
        for key, part in _fields(value):
            yield from _leaves(part, key)
    elif isinstance(value, list):
        for part in cast("list[object]", value):
            yield from _leaves(part, name)
    else:
        yield name, value
