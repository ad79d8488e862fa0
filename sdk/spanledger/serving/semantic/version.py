"""What a certificate covers."""

from __future__ import annotations

import hashlib

import orjson

GUARD_VERSION = "2"
"""Changes with every change of what the guards let pass: a certificate of other guards means nothing."""


def group(project: str, route: str, embedder: str, system: str = "") -> str:
    """The group that one certificate covers, 64 hex digits; ``system`` narrows it to one system prompt."""
    parts = [project, route, embedder, GUARD_VERSION, *([system] if system else [])]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
