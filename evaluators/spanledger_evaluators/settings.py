"""Environment variables in; validated settings of ``spanledger eval`` out."""

from __future__ import annotations

import sys
from typing import TypeVar

from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

T = TypeVar("T", bound=BaseSettings)
PREFIX = "SPANLEDGER_"


class EvalSettings(BaseSettings):
    """What the gate needs in somebody's CI: addresses and a key."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    gateway_url: str = "http://127.0.0.1:4000/v1"
    """Where judges and routes are called."""
    endpoint: str = "http://127.0.0.1:4318"
    """The collector: datasets, prompts, and where runs are stored."""
    key: str = ""
    """The key that all of these calls carry."""
    embedding_model: str = ""
    """Route or model of embeddings, for scorers that compare meanings."""

    @field_validator("gateway_url", "endpoint")
    @classmethod
    def _is_http_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("allowed is http[s]://host[:port]")
        return value.rstrip("/")


def load_settings(kind: type[T]) -> T:
    """Read the settings; on a bad value say which variable and exit with code 3."""
    try:
        return kind()
    except ValidationError as wrong:
        for error in wrong.errors(include_url=False, include_context=False):
            name = PREFIX + "_".join(str(part) for part in error["loc"]).upper()
            print(f"{name}={error.get('input')!r} is refused: {error['msg']}", file=sys.stderr)
        raise SystemExit(3) from None
