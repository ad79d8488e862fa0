"""Environment variables in; validated settings of the worker out."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field, field_validator

from spanledger_collector.store.settings import StoreSettings


class WorkerSettings(StoreSettings):
    """What ``spanledger worker`` reads; every field is a variable ``SPANLEDGER_<FIELD>``."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    """Broker of the tasks and home of route state and budget counters."""
    gateway_url: str = "http://127.0.0.1:4000/v1"
    """Where judges are called."""
    key: str = ""
    """The key that judge calls carry."""
    worker_concurrency: int = Field(default=2, ge=1, le=64)
    """Processes that run tasks."""
    alert_channels: str = ""
    """Names of variables that hold channel URLs, comma-separated: where alerts without channels of their own go."""
    webhook_secret: str = ""
    """Signs webhooks (HMAC-SHA256); empty: unsigned."""
    webhook_allow_private: bool = False
    """Whether webhooks may go to addresses inside the network."""
    metrics_host: str = Field(default="127.0.0.1", validation_alias="SPANLEDGER_HOST")
    """Where ``/metrics`` listens: ``SPANLEDGER_HOST``, as of every server."""
    worker_port: int = Field(default=9464, ge=0, le=65535)
    """Port of ``/metrics``; 0 for none."""
    canary_share: float = Field(default=0.1, ge=0, le=1)
    """Share of a route's calls that still goes to its primary while the route is on its fallback."""

    eval_daily_cap: Decimal | None = Field(default=None, ge=0)
    """USD that all judging may cost a day (UTC); empty: no such cap."""
    eval_project_daily_cap: Decimal | None = Field(default=None, ge=0)
    """The same for each project."""

    @field_validator("eval_daily_cap", "eval_project_daily_cap", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def channels(self) -> list[str]:
        """The default channels, in order."""
        return [name.strip() for name in self.alert_channels.split(",") if name.strip()]

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: str) -> str:
        if not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("allowed is redis[s]://[user:password@]host[:port]/number")
        return value

    @field_validator("gateway_url")
    @classmethod
    def _is_http_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("allowed is http[s]://host[:port]/v1")
        return value.rstrip("/")
