"""Documents of what must not be stored: redaction rules, with patterns that no text can make slow."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import re2
from pydantic import Field, StringConstraints, field_validator, model_validator

from .fields import Document, EnvName, Text

Detector = Literal["secrets", "card", "iban", "email", "phone"]
"""Classes that the SDK's own redaction knows."""


_re2: Any = re2  # has no types


def safe_pattern(regex: str) -> Any:
    """A pattern compiled for RE2, whose matching takes linear time whatever pattern and text are.

    Raises:
        ValueError: it is no such pattern, or matches the empty text and so every place.
    """
    options = _re2.Options()
    options.log_errors = False
    try:
        compiled = _re2.compile(regex, options)
    except _re2.error as wrong:
        reason = wrong.args[0].decode() if isinstance(wrong.args[0], bytes) else wrong.args[0]
        raise ValueError(
            f"is no regular expression that RE2 can match in linear time (it has no lookaround and no"
            f" backreferences): {reason}"
        ) from None
    if compiled.search("") is not None:
        raise ValueError("matches the empty text, so it would match everywhere")
    return compiled


class Pattern(Document):
    """A regular expression of our own to redact, in RE2's syntax."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_. -]{1,60}$")]
    regex: Text

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str) -> str:
        safe_pattern(value)
        return value


RedactedField = Literal[
    "input", "output", "documents", "events", "links", "attributes", "resource", "status_message", "name", "tags",
    "explanation", "user_id", "session_id", "customer_id",
]  # fmt: skip
"""Columns that rules may work on; ``explanation`` is a score's."""

WRITTEN: tuple[RedactedField, ...] = (
    "input", "output", "documents", "events", "links", "attributes", "status_message", "name", "tags", "explanation",
)  # fmt: skip
"""Where text that somebody wrote or read may stand: what rules work on, unless they say otherwise."""


class Redaction(Document):
    """What is removed from prompts and answers before they are stored.

    ``replace`` puts the finding's name in its place, ``hash`` its name and a keyed hash (equal findings stay equal),
    ``drop`` empties the whole field. The key of hashes stands in the environment variable ``hash_key_env``.
    """

    detectors: list[Detector] = Field(default_factory=list[Detector])
    patterns: Annotated[list[Pattern], Field(max_length=100)] = Field(default_factory=list[Pattern])
    action: Literal["replace", "hash", "drop"] = "replace"
    fields: list[RedactedField] = Field(default_factory=lambda: list(WRITTEN))
    hash_key_env: EnvName = ""
    drop_input: bool = False
    drop_output: bool = False

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.action == "hash" and not self.hash_key_env:
            raise ValueError("action hash needs hash_key_env: without a key, short numbers could be guessed")
        return self


MODELS: dict[str, type[Document]] = {"redaction": Redaction}
