"""The types fields of documents are made of, and the base of every document."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

Scope = Literal["ingest", "read", "gateway", "admin"]

_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_URL = re.compile(r"https?://([^/?#\s]+)([^?#\s]*)")


class Document(BaseModel):
    """The base of every kind: unknown fields are refused, so that a typing error never passes."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)


def _money(value: object) -> object:
    if isinstance(value, float):
        raise ValueError(f'money is exact: write it as a string, "{value}"')
    return value


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _date(value: object) -> object:
    return f"{value}T00:00:00" if isinstance(value, str) and len(value) == 10 else value


def _env_name(value: str) -> str:
    if value and not _ENV_NAME.fullmatch(value):
        raise ValueError(
            "name the environment variable that holds the secret (A-Z, 0-9, _), never the secret itself"
        )
    return value


def _none_word(value: object) -> object:
    return None if value == "none" else value


def _http_url(value: str) -> str:
    if not value:
        return value
    match = _URL.fullmatch(value)
    if not match:
        raise ValueError("expected http[s]://host[:port][/path], without query")
    if "@" in match[1]:
        raise ValueError("no user or password in a URL: name the variable of the secret in key_env")
    return value.rstrip("/")


Money = Annotated[
    Decimal,
    BeforeValidator(_money),
    Field(ge=0, max_digits=18, decimal_places=9),
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
]
"""US dollars, written as a decimal string."""

Moment = Annotated[
    datetime,
    BeforeValidator(_date),
    AfterValidator(_utc),
    PlainSerializer(lambda value: value.astimezone(UTC).isoformat(), return_type=str),
]
"""An ISO 8601 date or date and time; UTC where it names no zone."""

Percent = Annotated[
    Decimal,
    BeforeValidator(_money),
    Field(ge=0, le=100, max_digits=12, decimal_places=9),
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
]
"""Parts of a hundred, written as a decimal string."""

Factor = Annotated[
    Decimal,
    BeforeValidator(_money),
    Field(ge=0, le=100, max_digits=12, decimal_places=9),
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
]
"""What a rate is multiplied by, written as a decimal string."""

EnvName = Annotated[str, AfterValidator(_env_name)]
"""The name of an environment variable that holds a secret; may be empty."""

HttpUrl = Annotated[str, AfterValidator(_http_url)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]

NoneWord = BeforeValidator(_none_word)
"""TOML has no null: the word "none" stands for it."""
