"""Environment variables in; where `spanledger up` keeps its data and which ports its roles take, out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}

Port = Annotated[int, Field(ge=1, le=65535)]


class UpSettings(BaseSettings):
    """``SPANLEDGER_HOME``, ``_HOST``, the ports, and the two URLs that replace embedded parts."""

    model_config = SettingsConfigDict(env_prefix="SPANLEDGER_", frozen=True)

    home: Path = Path("~/.spanledger")
    host: str = "127.0.0.1"
    engine_port: Port = 8123
    redis_port: Port = 6379
    collector_port: Port = 4318
    grpc_port: Port = 4317
    gateway_port: Port = 4000
    dashboard_port: Port = 8050
    demo_primary_port: Port = 4101
    demo_backup_port: Port = 4102
    clickhouse_url: str = ""
    """A ClickHouse server to use; the embedded engine is not started then."""
    redis_url: str = ""
    """A Redis or Valkey server to use; the embedded broker is not started then."""
    bootstrap_key: str = ""
    """The key to create; empty: the one kept in the home, made at the first start."""

    @property
    def folder(self) -> Path:
        """The home, absolute."""
        return self.home.expanduser().resolve()

    @property
    def address(self) -> str:
        """Where one role reaches another: ``host``, or loopback where that is every address."""
        host = ANY_ADDRESS.get(self.host, self.host)
        return f"[{host}]" if ":" in host else host

    @property
    def collector_url(self) -> str:
        """The collector's base URL."""
        return f"http://{self.address}:{self.collector_port}"

    @property
    def gateway_url(self) -> str:
        """The gateway's base URL, without ``/v1``."""
        return f"http://{self.address}:{self.gateway_port}"

    @property
    def dashboard_url(self) -> str:
        """The dashboard's base URL."""
        return f"http://{self.address}:{self.dashboard_port}"
