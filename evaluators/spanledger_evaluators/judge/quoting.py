"""Untrusted text in; the text between marks that it cannot forge out."""

from __future__ import annotations

import hashlib


def quoted(label: str, text: str) -> str:
    """The text between two marks that depend on all of it, so that no text can close its own quotation."""
    mark = f"{label}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
    return f"<{mark}>\n{text}\n</{mark}>"
