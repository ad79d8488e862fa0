"""Environment variables in; validated settings of the embedded engine's server out."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .library import physical_memory

_MIB = 1024 * 1024


class EngineSettings(BaseSettings):
    """``SPANLEDGER_HOME``, ``SPANLEDGER_HOST`` and ``SPANLEDGER_ENGINE_*``."""

    model_config = SettingsConfigDict(env_prefix="SPANLEDGER_ENGINE_", frozen=True, populate_by_name=True)

    home: Path = Field(Path("~/.spanledger"), validation_alias=AliasChoices("SPANLEDGER_HOME", "home"))
    host: str = Field("127.0.0.1", validation_alias=AliasChoices("SPANLEDGER_HOST", "host"))
    port: int = Field(8123, ge=1, le=65535)
    token: SecretStr = SecretStr("")
    """The password of every user; required when ``host`` is not loopback."""
    reader_token: SecretStr = SecretStr("")
    """The password of user ``reader``, who can only read; empty: the same as ``token``."""
    handles: int = Field(8, ge=1, le=64)
    """Statements that run at once; further ones queue."""
    queue: int = Field(128, ge=0, le=10_000)
    """Requests that may wait for a handle; further ones are answered 503."""
    max_body: int = Field(256 * _MIB, ge=1, le=4096 * _MIB)
    """Bytes of one request, before and after inflation."""

    max_buffered: int = Field(1024 * _MIB, ge=1)
    """Bytes of all requests held at once; further ones are answered 503."""
    memory: int = Field(default_factory=lambda: physical_memory() // 2, ge=512 * _MIB)
    """Bytes the engine may use in all; half of the machine's where it is not said."""
    statement_memory: int = Field(2048 * _MIB, ge=64 * _MIB)
    """Bytes one statement may use in the engine (``max_memory_usage``)."""

    @property
    def folder(self) -> Path:
        """All that the engine keeps: ``data`` (the tables), ``backups``, ``work`` and ``lock``."""
        return self.home.expanduser().resolve() / "engine"

    @property
    def data(self) -> Path:
        """The tables."""
        return self.folder / "data"

    @model_validator(mode="after")
    def _token_beyond_loopback(self) -> EngineSettings:
        if not _is_loopback(self.host) and not self.token.get_secret_value():
            raise ValueError(
                f"SPANLEDGER_ENGINE_TOKEN is required when SPANLEDGER_HOST={self.host} is not loopback"
            )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
