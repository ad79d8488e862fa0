"""Deterministic sampling by hash: a key and a rate in, the same yes or no everywhere out."""

from __future__ import annotations

import hashlib

_BITS = 53  # what a float holds exactly


def draw(key: str, *, salt: str = "") -> float:
    """A number in [0, 1) that depends on the key alone; uniform over keys."""
    digest = hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> (64 - _BITS)) / 2**_BITS


def chosen(key: str, rate: float, *, salt: str = "") -> bool:
    """Whether the key falls into the sample; a higher rate keeps every member of a lower one."""
    return draw(key, salt=salt) < rate
