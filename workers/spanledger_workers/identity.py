"""Deterministic ids: the same work, done again, has the same id and so replaces itself."""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.UUID("5b0c9a52-31c6-4f5e-9d5e-6d6c1f0a7b11")


def identify(*parts: object) -> str:
    """A UUID that depends on the parts alone."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(map(str, parts))))
