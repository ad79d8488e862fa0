"""Environment variables in; validated settings of the collector out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from spanledger_collector.store.settings import PREFIX

Port = Annotated[int, Field(ge=0, le=65535)]


class CollectorSettings(BaseSettings):
    """What ``spanledger collector`` needs, besides where the tables are."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    home: Path = Path("~/.spanledger")
    """Holds the spool under ``collector/spool`` and a copy of the keys."""
    host: str = "127.0.0.1"
    collector_port: Port = 4318
    grpc_port: Port = 4317
    redis_url: str = "redis://127.0.0.1:6379/0"
    bootstrap_key: str = ""
    ingest_max_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 64 * 1024 * 1024
    """The largest request, before and after inflation."""
    spool_max_bytes: Annotated[int, Field(ge=1024 * 1024)] = 4 * 1024 * 1024 * 1024
    """Acknowledged requests that may wait for the store; beyond it senders are asked to come back."""

    @property
    def folder(self) -> Path:
        """This role's folder."""
        return self.home.expanduser() / "collector"
