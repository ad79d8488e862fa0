"""Where a page ended in, an opaque cursor out, and back. A cursor holds no more than the last row's key."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, cast

from .problems import Refusal

Key = tuple[str | int, ...]


def cursor(*key: str | int) -> str:
    """The cursor of a page whose last row has this key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def key_of(text: str, *kinds: type) -> Key:
    """The key in a cursor, whose values have these types.

    Raises:
        Refusal: 422, the text is no cursor of this path.
    """
    try:
        padded = text + "=" * (-len(text) % 4)
        values: Any = json.loads(base64.b64decode(padded.encode(), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, UnicodeError, RecursionError):
        raise _wrong() from None
    if not isinstance(values, list) or [type(value) for value in cast(list[Any], values)] != list(kinds):
        raise _wrong()
    key = tuple(cast(list[str | int], values))
    if any(isinstance(value, int) and not 0 <= value < 2**63 for value in key):
        raise _wrong()
    return key


def _wrong() -> Refusal:
    return Refusal(422, "cursor is none of this path: send `next` of the page before, unchanged")
