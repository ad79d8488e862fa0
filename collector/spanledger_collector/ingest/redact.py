"""The redaction stage: rows about to be stored in, the same rows with secrets replaced out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

CONTENT_COLUMNS = ("input", "output", "documents", "status_message", "events", "attributes")
"""Where text a person wrote or read may stand."""


class Redactor(Protocol):
    """Replaces what a project's rules name. Must count each row's replacements in its ``redactions``."""

    def redact(self, project: str, rows: Sequence[dict[str, Any]]) -> int:
        """Change rows of one project in place; the answer is how many pieces were replaced."""
        ...


class NoRedaction:
    """No rules: every row stays as it is."""

    def redact(self, project: str, rows: Sequence[dict[str, Any]]) -> int:
        """Change nothing."""
        return 0
