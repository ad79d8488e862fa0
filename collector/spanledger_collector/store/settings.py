"""Environment variables in; validated settings of the store out."""

from __future__ import annotations

import sys
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

T = TypeVar("T", bound=BaseSettings)
PREFIX = "SPANLEDGER_"
EXIT_USAGE = 2


class StoreSettings(BaseSettings):
    """Where the tables are: ``SPANLEDGER_CLICKHOUSE_URL`` and ``SPANLEDGER_CLUSTER``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    clickhouse_url: str = "http://127.0.0.1:8123/spanledger"
    """``http[s]://[user:token@]host[:port]/database``; percent-encode user and token."""
    cluster: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$")
    """Name of a ClickHouse cluster; empty for one server."""
    engine_token: str = ""
    """The embedded engine's token, used when the URL carries none."""

    @field_validator("clickhouse_url")
    @classmethod
    def _is_clickhouse_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("allowed is http[s]://[user:token@]host[:port]/database")
        if "`" in unquote(parts.path) or "\\" in unquote(parts.path):
            raise ValueError("a database's name holds no backtick and no backslash")
        _ = parts.port  # raises ValueError for a port that is none
        return value

    @property
    def secure(self) -> bool:
        """Whether the URL asks for TLS."""
        return urlsplit(self.clickhouse_url).scheme == "https"

    @property
    def host(self) -> str:
        """The server's name or address."""
        return urlsplit(self.clickhouse_url).hostname or ""

    @property
    def port(self) -> int:
        """The server's HTTP port; 8123, or 8443 with TLS, where the URL names none."""
        return urlsplit(self.clickhouse_url).port or (8443 if self.secure else 8123)

    @property
    def user(self) -> str:
        """The user to log in as."""
        return unquote(urlsplit(self.clickhouse_url).username or "default")

    @property
    def password(self) -> str:
        """The password or token to log in with; empty for none."""
        return unquote(urlsplit(self.clickhouse_url).password or "") or self.engine_token

    @property
    def database(self) -> str:
        """The database that holds every table."""
        return unquote(urlsplit(self.clickhouse_url).path.strip("/")) or "spanledger"


def load_settings(kind: type[T], **given: Any) -> T:
    """Read ``kind`` from the environment; on a bad value say which variable and exit with code 2."""
    try:
        return kind(**given)
    except ValidationError as wrong:
        _refuse(wrong, kind.model_config.get("env_prefix", PREFIX))


def _refuse(wrong: ValidationError, prefix: str) -> NoReturn:
    for error in wrong.errors(include_url=False, include_context=False):
        name = "_".join(str(part) for part in error["loc"]).upper()
        if not name:  # a rule about several variables names them itself
            print(error["msg"].removeprefix("Value error, "), file=sys.stderr)
            continue
        variable = name if name.startswith(PREFIX) else prefix + name
        print(f"{variable}={error.get('input')!r} is refused: {error['msg']}", file=sys.stderr)
    raise SystemExit(EXIT_USAGE)
