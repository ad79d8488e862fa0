"""A key's limits and its requests' times in; whether the next may go, and when else, out.

A token bucket each for requests and model tokens: a minute's worth may come at once, then it refills
evenly. Pure: the time is passed in, in seconds of a steady clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """What is left of one limit. It may go below zero when a call turns out larger than thought."""

    left: float
    at: float


class RateLimits:
    """The buckets of every key of one process."""

    def __init__(self, share: float = 1.0) -> None:
        """``share`` is this process's part of each limit, where several serve the same keys."""
        self._share = share
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def wait(self, key: str, kind: str, per_minute: int, amount: float, now: float) -> float:
        """Take ``amount`` and return 0, or take nothing and return the seconds until it would fit.

        An amount above the whole limit is let through once the bucket is full, or it could never be.
        """
        limit = per_minute * self._share
        if limit <= 0:
            return 60.0
        bucket = self._refilled(key, kind, limit, now)
        missing = min(amount, limit) - bucket.left
        if missing > 1e-9:
            return missing * 60.0 / limit
        bucket.left -= amount
        return 0.0

    def correct(self, key: str, kind: str, amount: float) -> None:
        """Take more, or give back (a negative amount), once a call's real size is known."""
        bucket = self._buckets.get((key, kind))
        if bucket is not None:
            bucket.left -= amount

    def _refilled(self, key: str, kind: str, limit: float, now: float) -> Bucket:
        bucket = self._buckets.get((key, kind))
        if bucket is None:
            if len(self._buckets) > 100_000:
                self._buckets.clear()
            bucket = self._buckets[(key, kind)] = Bucket(limit, now)
        bucket.left = min(limit, bucket.left + (now - bucket.at) * limit / 60.0)
        bucket.at = now
        return bucket
