"""How an attempt failed, and what to do next: the next target at once, the same one later, or give up.

The rule: 429, 5xx, connection errors and timeouts before the first content go to the next target at once;
the same target is asked again only when none is left, after its Retry-After, within the total deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reason = Literal["connect", "timeout", "reset", "status", "malformed", "stream_error", "refused", "unusable"]
"""Why an attempt failed. ``refused``: the provider says the caller's request is at fault. ``unusable``:
this target can never serve the call (its key is unset, or its API lacks what is asked)."""

RETRY_ROUNDS = 2
"""How often targets that already failed may be asked again, all together."""

_BACK_OFF_S = 0.25
_LONGEST_WAIT_S = 30.0


@dataclass(slots=True, frozen=True, kw_only=True)
class Failure:
    """One failed attempt. ``status`` is the provider's HTTP status, 0 when none came."""

    reason: Reason
    status: int = 0
    message: str = ""
    retry_after_s: float | None = None
    body: bytes = b""

    @property
    def is_target_at_fault(self) -> bool:
        """Whether another target may do better; false when the caller's request is at fault."""
        return self.reason != "refused"

    @property
    def counts_against_health(self) -> bool:
        """Whether the target should cool down when this repeats."""
        return self.reason not in ("refused", "unusable")

    @property
    def error_type(self) -> str:
        """What ``error.type`` says: the status, or the reason when no status came."""
        return str(self.status) if self.reason == "status" else self.reason


def of_status(status: int, body: bytes, retry_after: str, message: str = "") -> Failure:
    """Judge an HTTP status of 400 or more.

    401, 403 and 404 speak of the gateway's own key and model, so another target may well serve the call.
    """
    at_target = status >= 500 or status in (401, 402, 403, 404, 408, 409, 421, 425, 429)
    return Failure(
        reason="status" if at_target else "refused",
        status=status,
        message=message,
        retry_after_s=seconds(retry_after),
        body=body,
    )


def seconds(retry_after: str) -> float | None:
    """A Retry-After header's seconds; None when absent or a date (too coarse to wait for)."""
    try:
        value = float(retry_after)
    except ValueError:
        return None
    return value if 0 <= value < 86_400 else None


def wait_before_retry(
    failures: int, retry_after_s: float | None, *, now: float, deadline: float, draw: float
) -> float | None:
    """Seconds to wait before a failed target is asked again, or None to give up.

    ``failures`` counts the retry rounds so far, ``draw`` in [0, 1) is the jitter. Never waits past the
    deadline, nor longer than half a minute.
    """
    if failures >= RETRY_ROUNDS:
        return None
    back_off = _BACK_OFF_S * 2**failures * (0.5 + draw / 2)
    wait = max(back_off, retry_after_s or 0.0)
    if wait > _LONGEST_WAIT_S or now + wait >= deadline:
        return None
    return wait
