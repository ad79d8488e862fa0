"""A failed call without usage in; whether its provider refused it, so that it is known to have cost nothing, out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_MAYBE_WORKED_ON = re.compile(
    r"time[d_ -]?out|deadline|cancel|abort|connection|disconnect|reset|broken pipe|interrupt|closed|\b(?:408|499|504|524)\b",
    re.IGNORECASE,
)
"""What an error says when the caller lost sight of the request, and the provider may have answered and billed it."""


def is_refused(row: Mapping[str, Any]) -> bool:
    """Whether a call without usage failed by its provider's answer (a rate limit, a wrong key, an error of its own).

    Providers bill no request that they answer with an error. Where the error is a time-out or a lost connection, or
    nobody says what it was, nothing is known, and nothing is claimed.
    """
    if row.get("status") != "error" or row.get("output") or row.get("ttft_ns"):
        return False
    told = f"{row.get('error_type', '')} {row.get('status_message', '')}"
    return bool(told.strip()) and not _MAYBE_WORKED_ON.search(told)
