"""Environment variables in; validated settings of the dashboard out."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class DashboardSettings(BaseSettings):
    """Where the dashboard listens and what it signs its sessions with."""

    model_config = SettingsConfigDict(env_prefix="SPANLEDGER_", frozen=True)

    host: str = "127.0.0.1"
    dashboard_port: int = Field(default=8050, ge=1, le=65535)
    home: Path = Path("~/.spanledger")
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Where changed documents are announced, so that gateways hear of them at once."""
    gateway_url: str = "http://127.0.0.1:4000/v1"
    """Where the playground asks."""
    key: str = Field(default="", repr=False)
    """The dashboard's own key: the playground asks with it for people who may edit its project."""
    dashboard_secret: str = Field(default="", repr=False)
    """Signs the session cookies; the same on every copy behind one address. Empty: made once, kept in ``home``."""
    dashboard_secure_cookies: bool = False
    """True where the pages are served by HTTPS: the cookie then never travels without it."""


class OidcSettings(BaseSettings):
    """The identity provider that members may sign in with; without an issuer there is none."""

    model_config = SettingsConfigDict(env_prefix="SPANLEDGER_", frozen=True, validate_default=True)

    oidc_issuer: str = ""
    """As in ``https://accounts.example.com``; its ``/.well-known/openid-configuration`` is read."""
    oidc_client_id: str = ""
    oidc_client_secret: str = Field(default="", repr=False)
    oidc_name: str = "single sign-on"
    """What the button says: Sign in with NAME."""
    oidc_scopes: str = "openid email profile"
    oidc_groups_claim: str = "groups"
    dashboard_url: str = ""
    """Where people reach the pages, as in ``https://ledger.example.com``; the redirect address begins with it."""

    @field_validator("oidc_issuer", "dashboard_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("allowed is http[s]://host[:port][/path]")
        return value.rstrip("/")

    @field_validator("oidc_client_id", "dashboard_url")
    @classmethod
    def _is_needed(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("oidc_issuer") and not value:
            raise ValueError("is needed with SPANLEDGER_OIDC_ISSUER")
        return value


def session_secret(settings: DashboardSettings) -> str:
    """The configured secret, or the one kept in ``home`` (made at first use, readable by its owner only)."""
    if settings.dashboard_secret:
        return settings.dashboard_secret
    path = settings.home.expanduser() / "dashboard" / "session.secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        secret = secrets.token_urlsafe(32)
        file.write(secret)
    return secret
