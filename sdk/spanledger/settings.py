"""The SDK's settings: keyword arguments and ``SPANLEDGER_*`` variables in, one frozen value out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

PREFIX: Final = "SPANLEDGER_"
CLASSES: Final = ("secrets", "card", "iban", "email", "phone")


class SettingsError(ValueError):
    """A setting has a value that is not allowed; the message names the setting and what is allowed."""


class Settings(NamedTuple):
    """What one process records, how much of it, and where it goes. See the README for each field."""

    endpoint: str = "http://127.0.0.1:4318"
    key: str = ""
    project: str = "default"
    team: str = ""
    service: str = ""
    service_version: str = ""
    environment: str = ""
    home: str = "~/.spanledger"
    enabled: bool = True
    mode: str = "journal"
    shipper: str = "process"
    capture: str = "full"
    redact: tuple[str, ...] = ()
    sample_rate: float = 1.0
    sample_keep_tokens: int = 10_000
    max_field_bytes: int = 262_144
    journal_mb: int = 512
    journal_max_age_s: int = 7 * 86_400
    memory_mb: int = 12
    ship_interval_s: float = 1.0
    request_timeout_s: float = 10.0
    exit_timeout_s: float = 3.0
    endpoint_given: bool = True

    @property
    def journal_dir(self) -> Path:
        """The folder of journals, all destinations."""
        return Path(self.home).expanduser() / "journal"

    @property
    def registry_dir(self) -> Path:
        """Where the last snapshots of the registry are kept, for a start without the collector."""
        return Path(self.home).expanduser() / "registry"

    @property
    def traces_url(self) -> str:
        """Where finished spans are posted."""
        return self.endpoint.rstrip("/") + "/v1/traces"


_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "mode": ("journal", "memory"),
    "shipper": ("process", "thread"),
    "capture": ("none", "metadata", "full"),
}
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "sample_rate": (0, 1),
    "sample_keep_tokens": (0, 10**12),
    "max_field_bytes": (256, 16 * 2**20),
    "journal_mb": (8, 1_000_000),
    "journal_max_age_s": (60, 3650 * 86_400),
    "memory_mb": (1, 4096),
    "ship_interval_s": (0.05, 3600),
    "request_timeout_s": (0.1, 600),
    "exit_timeout_s": (0, 5),
}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def load(environ: Mapping[str, str] | None = None, /, **given: object) -> Settings:
    """Settings from arguments first and ``SPANLEDGER_*`` second.

    Raises:
        SettingsError: a value is not allowed. The message names the setting.

    >>> load({"SPANLEDGER_PROJECT": "shop"}, team="search").project
    'shop'
    """
    env = os.environ if environ is None else environ
    values: dict[str, object] = {}
    for name, default in Settings._field_defaults.items():
        if given.get(name) is not None:
            values[name] = _checked(name, given[name], default, name)
        elif PREFIX + name.upper() in env:
            variable = PREFIX + name.upper()
            values[name] = _checked(name, env[variable], default, variable)
    if unknown := sorted(set(given) - set(Settings._field_defaults)):
        raise SettingsError(f"{unknown[0]} is no setting; allowed: {', '.join(Settings._field_defaults)}")
    values.setdefault("service", env.get("OTEL_SERVICE_NAME", ""))
    values["endpoint_given"] = "endpoint" in values
    return Settings(**values)  # pyright: ignore[reportArgumentType]  # each was checked against its default


def _checked(name: str, value: object, default: object, label: str) -> object:
    if name == "redact":
        return _classes(value, label)
    if isinstance(default, bool):
        return _boolean(value, label)
    if isinstance(default, int | float):
        return _number(name, value, type(default), label)
    text = str(value) if isinstance(value, Path) else value
    if not isinstance(text, str):
        raise SettingsError(f"{label} must be text, not {type(text).__name__}")
    if name in _CHOICES and text not in _CHOICES[name]:
        raise SettingsError(f"{label}={text!r} is not allowed; use one of: {', '.join(_CHOICES[name])}")
    if name == "endpoint":
        _url(text, label)
    return text


def _url(text: str, label: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{label}={text!r} is not allowed; use http://HOST:PORT or https://HOST")


def _boolean(value: object, label: str) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise SettingsError(f"{label}={value!r} is not allowed; use true or false")


def _number(name: str, value: object, kind: type[int] | type[float], label: str) -> int | float:
    low, high = _RANGES[name]
    try:
        number = kind(value)  # pyright: ignore[reportArgumentType]  # whatever cannot be read is refused
    except (TypeError, ValueError):
        number = low - 1
    if not low <= number <= high:
        raise SettingsError(f"{label}={value!r} is not allowed; use a number from {low} to {high}")
    return number


def _classes(value: object, label: str) -> tuple[str, ...]:
    """``true`` means all classes, ``false`` none; else a comma-separated or real list of them."""
    if isinstance(value, bool) or str(value).strip().lower() in (*_TRUE, *_FALSE):
        return CLASSES if _boolean(value, label) else ()
    items = value.split(",") if isinstance(value, str) else cast(Iterable[object], value)
    names = tuple(str(item).strip() for item in items)
    if wrong := [name for name in names if name not in CLASSES]:
        raise SettingsError(f"{label}: {wrong[0]!r} is not allowed; use any of: {', '.join(CLASSES)}")
    return names
