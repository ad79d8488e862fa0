"""A route, its state and its targets' health in; the targets to try, in order, out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from spanledger.serving.health import State
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


class Places(Protocol):
    """What is known of the targets' upstreams right now."""

    def state(self, target: Target) -> State:
        """Whether it may be asked (see ``HealthBook.state``)."""
        ...

    def badness(self, target: Target) -> tuple[float, float]:
        """Orders targets that cool down, the least bad first."""
        ...

    def load(self, target: Target) -> float:
        """Requests its engine has to work on."""
        ...

    def is_full(self, target: Target) -> bool:
        """Whether its engine's queue is so long that calls spill elsewhere."""
        ...


def order(
    route: Route,
    *,
    state: RouteState,
    places: Places,
    call: Mapping[str, str],
    draw: float,
    canary_draw: float = 1.0,
) -> list[Target]:
    """Every target of the route that may serve the call, the one to ask first first.

    Primaries come first: the first of them is drawn by weight (``draw`` in [0, 1)), or has the least load. A
    route whose state is ``fallback`` asks its fallbacks first, unless ``canary_draw`` makes this call a
    canary. Full engines come after all others, targets that cool down last, the least bad of them first.
    """
    fitting = [t for t in route.targets if all(call.get(name, "") == value for name, value in t.when.items())]
    primaries = [t for t in fitting if t.role == "primary"]
    if route.balance == "least_loaded":
        primaries.sort(key=places.load)
    else:
        primaries = _drawn(primaries, draw)
    fallbacks = [t for t in fitting if t.role == "fallback"]
    on_fallback = state.state == "fallback" and canary_draw >= state.canary
    wanted = fallbacks + primaries if on_fallback else primaries + fallbacks
    ready: list[Target] = []
    full: list[Target] = []
    cooling: list[Target] = []
    for target in wanted:
        if places.state(target) == "open":
            cooling.append(target)
        elif places.is_full(target):
            full.append(target)
        else:
            ready.append(target)
    if not full and not cooling:
        return wanted
    return ready + sorted(full, key=places.load) + sorted(cooling, key=places.badness)


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
