"""What our ledger says, as reconciliation asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Protocol

from spanledger_collector.finance.bills import TokenType


@dataclass(frozen=True, slots=True, kw_only=True)
class OurUsage:
    """Sums over the calls of one day (of the zone asked for), account, model, tier and token type.

    ``cost`` leaves out calls without a price, which ``unpriced`` counts. ``account`` is the value of the dimension
    that the vendor's accounts stand for, empty where nobody said which.
    """

    day: date
    model: str
    token_type: TokenType
    tokens: int
    cost: Decimal
    calls: int = 1
    account: str = ""
    tier: str = "standard"
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class HourUsage:
    """All tokens and the cost of one model in a half hour that starts at ``start`` (UTC)."""

    start: datetime
    model: str
    tokens: int
    cost: Decimal


class Ours(Protocol):
    """Our side of a comparison; the period reaches a day beyond the bill's on both ends."""

    def days(self, zone: tzinfo) -> Sequence[OurUsage]:
        """Sums by days of a time zone."""
        ...

    def hours(self) -> Sequence[HourUsage]:
        """Sums by half hours, to find out in which zone a bill was cut."""
        ...
