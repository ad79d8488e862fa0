"""What one vocabulary calls the record's fields: pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One attribute vocabulary.

    ``fields`` maps an attribute's name to a field: a column of ``spans``, or a fact that ``normalise``
    works on (``usage.*``, ``messages.*``, ``time.*``). ``groups`` maps a prefix of numbered attributes
    (``llm.input_messages.0.message.role``) to a field that receives them rebuilt as lists and objects.
    ``operations`` maps values of the field ``kind_of_operation`` (lower case) to
    gen_ai.operation.name. ``marks`` are names or prefixes (ending in ``.``) no other vocabulary uses;
    ``scopes`` are beginnings of instrumentation scopes. ``version`` says what it was checked against.
    """

    name: str
    version: str
    fields: Mapping[str, str]
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    operations: Mapping[str, str] = field(default_factory=dict[str, str])
    marks: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
