"""A page's path in, what its addresses look like out."""

from __future__ import annotations

import re


def address_pattern(path: str, *, named: bool = False) -> str:
    """What addresses of a path look like, as a regular expression; where ``named``, its parts are groups."""
    parts = (
        (f"(?P<{part[1:-1]}>[^/]+)" if named else "[^/]+") if part.startswith("<") else re.escape(part)
        for part in path.split("/")
    )
    return "/".join(parts)
