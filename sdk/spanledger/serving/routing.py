"""A route, its state and its targets' health in; the targets to try, in order, out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from spanledger.serving.health import HealthBook
from spanledger.serving.snapshot import Route, Target

StateName = Literal["primary", "fallback"]


@dataclass(slots=True, frozen=True, kw_only=True)
class RouteState:
    """What the workers decided about a route; ``since`` is in ns, empty texts are unknown.

    While the state is ``fallback`` a share ``canary`` of the calls still goes to the primary.
    """

    state: StateName = "primary"
    canary: float = 0.0
    reason: str = ""
    since: int = 0
    event_id: str = ""


PRIMARY = RouteState()


def name_of(target: Target) -> str:
    """How a target is called in metrics, headers and the ledger."""
    return f"{target.upstream}/{target.model}"


def order(
    route: Route,
    *,
    state: RouteState,
    health: HealthBook,
    place: Callable[[Target], str] = name_of,
    now: float,
    draw: float,
    canary_draw: float = 1.0,
) -> list[Target]:
    """Every target of the route, the one to ask first first.

    Primaries come first, the first of them drawn by weight (``draw`` in [0, 1)); a route whose state is
    ``fallback`` asks its fallbacks first, unless ``canary_draw`` makes this call a canary. Targets that
    cool down come last, the least bad of them first. ``place`` names a target in the health book.
    """
    primaries = _drawn([t for t in route.targets if t.role == "primary"], draw)
    fallbacks = [t for t in route.targets if t.role == "fallback"]
    on_fallback = state.state == "fallback" and canary_draw >= state.canary
    wanted = fallbacks + primaries if on_fallback else primaries + fallbacks
    cooling = [t for t in wanted if health.state(place(t), now) == "open"]
    if not cooling:
        return wanted
    ready = [t for t in wanted if t not in cooling]
    return ready + sorted(cooling, key=lambda t: health.badness(place(t), now))


def sticky_draw(route: str, subject: str) -> float:
    """The draw of one user or session on one route: always the same, spread evenly over subjects."""
    digest = hashlib.blake2b(f"{route}\0{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _drawn(targets: Sequence[Target], draw: float) -> list[Target]:
    if len(targets) < 2:
        return list(targets)
    total = sum(max(0.0, t.weight) for t in targets)
    point, first = draw * total, targets[0]
    for target in targets:
        point -= max(0.0, target.weight)
        if point < 0:
            first = target
            break
    rest = [t for t in targets if t is not first]
    return [first, *sorted(rest, key=lambda t: t.weight <= 0)]
