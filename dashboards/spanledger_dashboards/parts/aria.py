"""Names for assistive technology, as attributes to spread into a component."""

from __future__ import annotations

from typing import Any

HIDDEN: dict[str, Any] = {"aria-hidden": "true"}
"""For decoration that says nothing."""


def aria(label: str) -> dict[str, Any]:
    """The attribute that names a component."""
    return {"aria-label": label}
