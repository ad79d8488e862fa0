"""Where time and ids come from: the two sources a test replaces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from random import Random

Clock = Callable[[], int]
"""Returns nanoseconds since the Unix epoch, UTC."""

Bits = Callable[[int], int]
"""Returns an integer of that many random bits."""

clock: Clock = time.time_ns

# Our own generator: an application that seeds ``random`` must not repeat our ids.
_random = Random(os.urandom(16))
random_bits: Bits = _random.getrandbits


def _reseed() -> None:
    _random.seed(os.urandom(16))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reseed)


def new_trace_id(bits: Bits = random_bits) -> bytes:
    """Sixteen random bytes, never all zero."""
    return (bits(128) or 1).to_bytes(16, "big")


def new_span_id(bits: Bits = random_bits) -> bytes:
    """Eight random bytes, never all zero."""
    return (bits(64) or 1).to_bytes(8, "big")
