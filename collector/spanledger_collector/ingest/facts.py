"""A span's attributes in; columns that one attribute fills, facts that several make a column of, and the rest out.

Most attributes of a stream repeat byte for byte, so what one means is worked out once: decoded, found in the
dialects' table, and read as its column wants it. A bounded memo answers every repetition with the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import values
from .attributes import Value, decode_new, text
from .dialects import TABLE
from .rows import Row

_MEMO_BYTES, _MEMO_SIZE = 96, 20_000

FACT, COLUMN, REST, PART, NOTHING = range(5)
"""What an attribute is: a fact, a column's value, one that is kept as it is, a part of a list, or empty."""

Reading = tuple[int, str, Any, int, int, str]
"""Kind, field, value, rank, mark and detail of an attribute. A bare tuple, since each span has tens of them.

The field is a column's or a fact's name, or the attribute's own for one that is kept as it is. The value fits its
column, and is text where it is kept. Of two attributes for one field the lower rank holds. The mark tells the
vocabulary. The detail is what follows a group's prefix for a part, and the attribute's name for any other.
"""


class Facts:
    """What a span's attributes say. ``row`` gets the columns, ``extra`` what is kept under its own name, as text.

    ``groups`` holds parts of lists by field. ``told`` is where each field's value came from.
    """

    __slots__ = ("extra", "facts", "groups", "row", "told")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.facts: dict[str, Value] = {}
        self.extra: dict[str, str] = {}
        self.groups: dict[str, dict[str, Value]] = {}
        self.told: dict[str, Reading] = {}

    def read(self, raws: Iterable[bytes]) -> int:
        """Take in serialized KeyValues; the answer is the vocabulary's mark."""
        remembered = _memo.get
        # A long one is not even looked for: hashing it would cost more than reading it.
        return self._take(
            [(remembered(raw) if len(raw) <= _MEMO_BYTES else None) or _learn(raw) for raw in raws]
        )

    def read_pairs(self, attributes: Mapping[str, Value]) -> None:
        """Take in attributes that are decoded already."""
        self._take([_named(key, value) for key, value in attributes.items()])

    def _take(self, readings: Iterable[Reading]) -> int:
        row, facts, extra, told, mark = self.row, self.facts, self.extra, self.told, 0
        for reading in readings:
            kind, name, value, _, said, detail = reading
            if said > mark:
                mark = said
            if kind >= REST:
                if kind == REST:
                    extra[name] = value
                elif kind == PART:
                    self.groups.setdefault(name, {})[detail] = value
            elif name in told:
                self._settle(told[name], reading)
            else:
                told[name] = reading
                if kind == COLUMN:
                    row[name] = value
                else:
                    facts[name] = value
        return mark

    def set(self, name: str, value: Value) -> None:
        """Tell a field from elsewhere than an attribute, unless it was told already."""
        if name in self.told:
            return
        reading = _reading(name, value, name)
        if reading[0] == REST:
            self.extra.setdefault(reading[1], reading[2])
        elif reading[0] != NOTHING:
            self._believe(reading)

    def unquote(self) -> None:
        """Read JSON texts as what they say: MLflow writes every value as JSON, texts included."""
        for _, name, value, rank, mark, detail in list(self.told.values()):
            if isinstance(value, str) and value.startswith('"'):
                again = _reading(name, values.parsed(value), detail, rank, mark)
                if again[0] in (FACT, COLUMN):
                    self._believe(again)

    def _settle(self, first: Reading, later: Reading) -> None:
        """Two names for one fact: the lower rank holds, and the other is kept where it says something else."""
        believed, refused = (later, first) if later[3] < first[3] else (first, later)
        if refused[2] != believed[2]:
            self.extra[refused[5]] = text(refused[2])
        if believed is later:
            self._believe(later)

    def _believe(self, reading: Reading) -> None:
        kind, name, value = reading[:3]
        self.told[name] = reading
        (self.row if kind == COLUMN else self.facts)[name] = value


_memo: dict[bytes, Reading] = {}


def _learn(raw: bytes) -> Reading:
    """What an attribute means; short ones repeat, so they are remembered."""
    found = _named(*decode_new(raw))
    if len(raw) <= _MEMO_BYTES:
        if len(_memo) >= _MEMO_SIZE:
            _memo.clear()
        _memo[raw] = found
    return found


def _named(key: str, value: Value) -> Reading:
    rule = TABLE.rule(key)
    if rule is None:
        return REST, key, text(value), 0, 0, key
    if not rule.field:
        return REST, key, text(value), 0, rule.mark, key
    if rule.path:
        return PART, rule.field, value, rule.rank, rule.mark, rule.path
    return _reading(rule.field, value, key, rule.rank, rule.mark)


def _reading(name: str, value: Any, key: str, rank: int = 0, mark: int = 0) -> Reading:
    """A field's value, as its column wants it; one that does not fit stays readable among the attributes."""
    if value is None:
        return NOTHING, name, None, rank, mark, key
    fit = values.COLUMNS.get(name)
    if fit is None:
        return FACT, name, value, rank, mark, key
    found = fit(value)
    if found is None:
        return REST, f"invalid.{name}", text(value), rank, mark, key
    return COLUMN, name, found, rank, mark, key
