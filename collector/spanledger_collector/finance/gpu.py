"""What a pool cost in an interval, and the calls that ran in it, in; shares that add up to the cost exactly out. Pure.

Calls on one engine run together: time in which any ran is busy, and what it cost is split by each call's engine time
(prefill and decode) within the interval, not by how long it waited or for how many it ran beside. Time in which none ran is idle, or
warm-up after the pool was switched on; each is a line of its own, borne as the pool's policy says.

Amounts are integers of 1e-12 USD, rounded by largest remainders, so shares + idle = cost in every interval. Calls are
sorted first: a share never depends on the order in which records came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .pool_costs import Segment, joined
from .rounding import split

Line = Literal["call", "idle", "warm_up", "central"]
Basis = Literal["engine_time", "token_weight", "policy"]
Policy = Literal["proportional", "reserved", "central"]

WEIGHTS: Mapping[str, float] = {"input": 1.0, "cache_read": 0.1, "output": 4.0}
"""What a token weighs where nobody measured: an output token is a whole step of the model, a prompt token a part of one,
and a token found in the prefix cache hardly any. Our own choice; a pool's ``token_weights`` overrule it."""

_FINE = 1_000_000  # token weights are integers of a millionth


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCall:
    """One call that a pool served: when it ran (ns), its engine time where measured, its tokens' weight elsewhere.

    ``group`` is who bears its share of idle time: calls of one group get one line. ``team`` is for reserved shares.
    """

    trace_id: bytes
    span_id: bytes
    start: int
    end: int
    engine: str = ""
    engine_ns: int | None = None
    weight: float = 0.0
    group: Hashable = None
    team: str = ""

    @property
    def active(self) -> tuple[int, int]:
        """When the engine worked on it: its last ``engine_ns``, since a call first waits; at least one nanosecond."""
        end = max(self.end, self.start + 1)
        return (end - 1 if self.engine_ns == 0 else max(self.start, end - (self.engine_ns or end)), end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of an interval's cost, in 1e-12 USD: of a call, of a group of calls, of a team, or of nobody (``central``)."""

    line: Line
    basis: Basis
    amount: int
    call: PoolCall | None = None
    group: Hashable = None
    team: str = ""
    engine_ns: int = 0


def token_weight(
    input_tokens: int | None, cache_read: int | None, output_tokens: int | None, weights: Mapping[str, float]
) -> float:
    """What a call's tokens weigh; 1 where nobody counted them, so that it is not free."""
    told = {**WEIGHTS, **weights}
    weight = (
        (input_tokens or 0) * told["input"]
        + (cache_read or 0) * told["cache_read"]
        + (output_tokens or 0) * told["output"]
    )
    return weight or 1.0


def allocate(
    cost: int,
    on: Sequence[Segment],
    interval: tuple[int, int],
    calls: Iterable[PoolCall],
    *,
    engines: Sequence[str] = (),
    warm_up: Sequence[tuple[int, int]] = (),
    policy: Policy = "proportional",
    reserved: Mapping[str, Decimal] | None = None,
) -> list[Share]:
    """Split an interval's cost (1e-12 USD); the shares' amounts add up to it exactly and none is negative.

    ``on``: when the pool was on in the interval; ``warm_up``: stretches after it was switched on; ``engines``: the
    upstreams that share the pool's GPUs equally (one where none is named).
    """
    here = sorted(
        (call for call in calls if _overlap(call.active, interval) > 0),
        key=lambda call: (call.trace_id, call.span_id),
    )
    stretches = joined([(part.start, part.end) for part in on]) or [interval]
    names = sorted(set(engines)) or [""]
    shares: list[Share] = []
    lost: dict[Line, int] = defaultdict(int)
    of_engine = split(cost, dict.fromkeys(names, 1)) if cost else dict.fromkeys(names, 0)
    for name in names:
        mine = [call for call in here if _engine(call, names) == name]
        busy, idle, warm = _times(mine, interval, stretches, warm_up)
        parts = split(of_engine[name], {"busy": busy, "idle": idle, "warm_up": warm})
        shares += _call_shares(parts["busy"], mine, interval)
        lost["idle"] += parts["idle"]
        lost["warm_up"] += parts["warm_up"]
    weights = {share.call: share for share in shares if share.call is not None}
    for line in ("idle", "warm_up"):
        if lost[line]:
            shares += _borne(line, lost[line], [*weights.values()], policy, reserved or {})
    return shares


def _engine(call: PoolCall, names: Sequence[str]) -> str:
    return call.engine if call.engine in names else names[0]


def _overlap(stretch: tuple[int, int], other: tuple[int, int]) -> int:
    return min(stretch[1], other[1]) - max(stretch[0], other[0])


def _within(stretches: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where two lists of disjoint stretches in order overlap."""
    found: list[tuple[int, int]] = []
    left = right = 0
    while left < len(stretches) and right < len(other):
        low = max(stretches[left][0], other[right][0])
        high = min(stretches[left][1], other[right][1])
        if low < high:
            found.append((low, high))
        if stretches[left][1] < other[right][1]:
            left += 1
        else:
            right += 1
    return found


def _length(stretches: Iterable[tuple[int, int]]) -> int:
    return sum(high - low for low, high in stretches)


def _times(
    calls: Sequence[PoolCall],
    interval: tuple[int, int],
    on: Sequence[tuple[int, int]],
    warm_up: Sequence[tuple[int, int]],
) -> tuple[int, int, int]:
    """Nanoseconds in which the engine was busy, idle and warming up; together, when it was on."""
    ran = joined([call.active for call in calls])
    busy = _within(_within(ran, [interval]), on)
    warming = _within(joined(list(warm_up)), on)
    while_warming = _length(_within(warming, busy))
    whole, used, warm = _length(on), _length(busy), _length(warming) - while_warming
    return used, whole - used - warm, warm


def _call_shares(amount: int, calls: Sequence[PoolCall], interval: tuple[int, int]) -> list[Share]:
    """The busy part, by engine time; calls without one by their tokens, at the rate of those that have both."""
    if not calls:
        return []
    overlaps = [_overlap(call.active, interval) for call in calls]
    measured = [call.engine_ns is not None for call in calls]
    weights = [
        overlap if known else _scaled(call, overlap)
        for call, overlap, known in zip(calls, overlaps, measured, strict=True)
    ]
    if any(measured) and not all(measured):
        weights = _calibrated(calls, overlaps, weights)
    if not sum(weights):
        weights = [1] * len(calls)
    parts = split(amount, dict(enumerate(weights)))
    return [
        Share(
            line="call",
            basis="engine_time" if known else "token_weight",
            amount=parts[at],
            call=call,
            group=call.group,
            team=call.team,
            engine_ns=overlaps[at] if known else 0,
        )
        for at, (call, known) in enumerate(zip(calls, measured, strict=True))
    ]


def _scaled(call: PoolCall, overlap: int) -> int:
    """The part of a call's token weight that falls into the interval, as an integer."""
    low, high = call.active
    return max(1, round(call.weight * _FINE) * overlap // (high - low))


def _calibrated(calls: Sequence[PoolCall], overlaps: Sequence[int], weights: Sequence[int]) -> list[int]:
    """Token weights as nanoseconds, at what a unit of weight took of the calls that were measured."""
    known = [at for at, call in enumerate(calls) if call.engine_ns is not None]
    took = sum(overlaps[at] for at in known)
    weighed = sum(_scaled(calls[at], overlaps[at]) for at in known)
    return [
        weight if call.engine_ns is not None else max(1, weight * took // max(1, weighed))
        for call, weight in zip(calls, weights, strict=True)
    ]


def _borne(
    line: Line, amount: int, shares: Sequence[Share], policy: Policy, reserved: Mapping[str, Decimal]
) -> list[Share]:
    """Who bears idle or warm-up time."""
    if policy == "reserved":
        units = {team: int(share * 10**9) for team, share in sorted(reserved.items()) if share > 0}
        units[""] = max(0, 10**9 - sum(units.values()))
        parts = split(amount, units)
        return [
            Share(line=line if team else "central", basis="policy", amount=part, team=team)
            for team, part in parts.items()
            if part
        ]
    if policy == "proportional" and any(share.amount for share in shares):
        groups: dict[Hashable, int] = {}
        for share in shares:
            groups[share.group] = groups.get(share.group, 0) + share.amount
        parts = split(amount, groups)
        return [
            Share(line=line, basis="policy", amount=part, group=group)
            for group, part in parts.items()
            if part
        ]
    return [Share(line="central" if policy == "central" else line, basis="policy", amount=amount)]
