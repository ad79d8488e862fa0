"""Environment variables ``SPANLEDGER_*`` in, the gateway's settings out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class GatewaySettings(BaseSettings):
    """What the gateway reads. Fields without ``gateway`` in their variable are shared with other roles."""

    model_config = SettingsConfigDict(env_prefix="SPANLEDGER_", extra="ignore", frozen=True)

    home: Path = Path("~/.spanledger")
    endpoint: str = Field(default="http://127.0.0.1:4318", pattern=r"^https?://[^/]+")
    key: str = ""
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", pattern=r"^(rediss?|unix)://")
    host: str = "127.0.0.1"
    port: int = Field(default=4000, ge=0, le=65_535, validation_alias=AliasChoices("SPANLEDGER_GATEWAY_PORT"))

    gateway_workers: int = Field(default=1, ge=1, le=256)
    gateway_max_body_mb: int = Field(default=32, ge=1, le=1024)
    gateway_cache_mb: int = Field(default=64, ge=0, le=65_536)
    gateway_hooks: str = ""
    """Guards, as ``module:object`` with options, separated by commas; see ``hooks.py``."""
    gateway_content: Literal["full", "none"] = "full"
    gateway_unpriced: Literal["allow", "refuse"] = "allow"
    """Whether a call that a budget applies to may run when nobody knows its price."""
    gateway_budget_wait_s: Annotated[float, Field(ge=0, le=300)] = 5.0
    """How long a call waits for money that calls in flight have booked but may give back."""
    gateway_flight_wait_s: Annotated[float, Field(ge=0, le=300)] = 30.0
    """How long a call waits for the answer to the same request in flight before it asks for itself."""
    gateway_deadline_s: Seconds = 300.0
    """The longest a caller waits for the first content, over all attempts."""
    gateway_connect_timeout_s: Seconds = 5.0
    gateway_poll_s: Seconds = 1.0
    """How often the snapshot and the routes' state are looked at when no message announces a change."""

    @property
    def folder(self) -> Path:
        """Where the gateway keeps what it last knew."""
        return self.home.expanduser() / "gateway"


class SettingsError(ValueError):
    """A setting has a value that is not allowed; the message names the variable and what is allowed."""


def load(**given: object) -> GatewaySettings:
    """Read the environment; keyword arguments win over it.

    Raises:
        SettingsError: names the variable and what is allowed.
    """
    try:
        return GatewaySettings(**given)  # pyright: ignore[reportArgumentType]  # pydantic checks each of them
    except ValidationError as wrong:
        raise SettingsError(
            "; ".join(_explained(error["loc"], error["msg"]) for error in wrong.errors())
        ) from None


def _explained(place: tuple[int | str, ...], message: str) -> str:
    name = str(place[0]) if place else ""
    return f"{name if name.isupper() else 'SPANLEDGER_' + name.upper()}: {message}"
