"""Who sends: settings and the environment in, OpenTelemetry resource attributes out."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from urllib.parse import unquote

from spanledger import semconv
from spanledger.settings import Settings
from spanledger.version import __version__


def describe(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str | int]:
    """The resource attributes of this process. Ours win over ``OTEL_RESOURCE_ATTRIBUTES``."""
    env = os.environ if environ is None else environ
    facts: dict[str, str | int] = {**_from_otel(env.get("OTEL_RESOURCE_ATTRIBUTES", ""))}
    program = os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    given = {
        semconv.SERVICE_NAME: settings.service or str(facts.get(semconv.SERVICE_NAME, program)),
        semconv.SERVICE_VERSION: settings.service_version,
        semconv.ENVIRONMENT: settings.environment,
        semconv.TEAM: settings.team,
        "spanledger.project": settings.project,
        "host.name": platform.node(),
    }
    facts |= {key: value for key, value in given.items() if value}
    facts["process.pid"] = os.getpid()
    facts |= {
        "telemetry.sdk.name": "spanledger",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
    }
    return facts


def _from_otel(text: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in text.split(",") if "=" in item)
    return {key.strip(): unquote(value.strip())[:256] for key, _, value in pairs}
