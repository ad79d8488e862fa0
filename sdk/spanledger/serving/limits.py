"""A key's limits and its requests' times in; whether the next may go, and when else, out.

A token bucket each for requests and model tokens: a minute's worth may come at once, then it refills
evenly. The buckets that all gateways share live in Redis, changed by the scripts here alone; ``RateLimits`` is one
process's own, for when Redis is away. Pure: the time is passed in, in seconds of a steady clock.
"""

from __future__ import annotations

from dataclasses import dataclass

# KEYS: the bucket of requests, that of tokens. ARGV: for each its limit a minute (-1: none) and the amount to take. Takes
# from both or from neither; an amount above the whole limit passes once the bucket is full, or it never could. Returns
# {seconds to wait, as text, place of the bucket that refuses from 1; 0 for none}. Redis' clock is everybody's.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left, wait, place = {}, 0, 0
for i = 1, 2 do
  local limit, amount = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  if limit == 0 then
    wait, place = 60, i
  elseif limit > 0 then
    local counts = redis.call('HMGET', KEYS[i], 'left', 'at')
    local had, at = tonumber(counts[1]) or limit, tonumber(counts[2]) or now
    left[i] = math.min(limit, had + math.max(0, now - at) * limit / 60000)
    local missing = math.min(amount, limit) - left[i]
    if missing > 1e-6 and missing * 60 / limit > wait then
      wait, place = missing * 60 / limit, i
    end
  end
end
if place > 0 then return {tostring(wait), place} end
for i = 1, 2 do
  if left[i] then
    local limit, rest = tonumber(ARGV[2 * i - 1]), left[i] - tonumber(ARGV[2 * i])
    redis.call('HSET', KEYS[i], 'left', tostring(rest), 'at', now)
    redis.call('PEXPIRE', KEYS[i], math.ceil(60000 * (1 + (limit - rest) / limit)))
  end
end
return {'0', 0}
"""

# KEYS: a bucket. ARGV: how much more a call used than was taken for it; negative gives back.
CORRECT = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBYFLOAT', KEYS[1], 'left', -tonumber(ARGV[1])) end
return 0
"""


def bucket_key(key: str, kind: str) -> str:
    """The Redis key of the bucket of a key's ``requests`` or ``tokens``; ``key`` is the hash that names the key."""
    return f"spanledger:rate:{key[:32]}:{kind}"


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
