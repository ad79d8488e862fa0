"""The demo's script: seconds since the start in, who asks what and how the primary fares, out. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .documents import ANALYST, ASSISTANT, BUDGET_TEAM, TEAMS

FEATURES = {"search": "site-search", "support": "help-centre", BUDGET_TEAM: "market-notes"}
USERS_PER_TEAM = 6


@dataclass(frozen=True, slots=True)
class Act:
    """A stretch of the story. ``rate``: questions a second; ``primary``: changes to the primary's behaviour."""

    begins_s: float
    rate: float
    says: str
    primary: dict[str, object]


HEALTHY: dict[str, object] = {"quality": 1.0, "error_status": 0}
ACTS = (
    Act(0, 3.0, "teams ask questions; the primary model answers well", HEALTHY),
    Act(30, 3.0, "the primary model starts to make things up", {"quality": 0.0}),
    Act(75, 3.0, "the primary model is well again; some calls still probe it", {"quality": 1.0}),
    Act(130, 2.0, "the primary is down for a moment: calls go to the backup at once", {"error_status": 503}),
    Act(136, 2.0, "the primary is up again", HEALTHY),
    Act(170, 0.4, "that was the story; light traffic goes on until Ctrl-C", HEALTHY),
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question of one user."""

    number: int
    team: str
    user: str
    session: str
    feature: str
    route: str
    case: int
    report: int  # 0: for none
    stream: bool
    embed: bool


def act_at(seconds: float) -> int:
    """Which act runs at a time since the start."""
    return max(i for i, act in enumerate(ACTS) if act.begins_s <= max(seconds, 0))


def ask(number: int, cases: int, seed: int = 0) -> Ask:
    """The n-th question: the same for the same seed, whenever it is asked."""
    draw = random.Random(f"{seed}:{number}")
    team = draw.choices(TEAMS, weights=(4, 4, 4))[0]
    user = f"{team}-{draw.randint(1, USERS_PER_TEAM)}"
    dear = team == BUDGET_TEAM
    case = draw.randrange(cases)
    # Analysts ask for one report after another, and now and then for the same again, which the cache answers.
    report = number if dear and draw.random() < 0.8 else 0
    return Ask(
        number=number,
        team=team,
        user=user,
        session=f"{user}-{number // 40}",
        feature=FEATURES[team],
        route=ANALYST if dear else ASSISTANT,
        case=case,
        report=report,
        stream=draw.random() < 0.5,
        embed=draw.random() < 0.3,
    )
