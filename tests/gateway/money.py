"""A model, its price, an answer of a known cost, and a budget's counter in Redis."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from spanledger.serving.snapshot import Price

MODEL = "gpt-4o-mini"
TEN = "one two three four five six seven eight nine ten"
PRICE = Price(
    name="p", version=1, provider="openai", model=MODEL, input=Decimal(0), output=Decimal(1_000_000)
)
"""Ten dollars a call that answers with ten tokens; input is free."""


class Counter:
    """A budget's counter in Redis."""

    def __init__(self, client: Any, key: str) -> None:
        self.client = client
        self.key = key

    def comes_to(self, dollars: int) -> bool:
        """Whether so much is spent, nothing reserved and no lease held, within two seconds."""
        wanted = [b"%d" % (dollars * 10**9), b"0", 0]
        deadline = time.monotonic() + 2
        while (found := self._found()) != wanted:
            if time.monotonic() > deadline:
                raise AssertionError(found)
            time.sleep(0.02)
        return True

    @property
    def refused(self) -> int:
        """Calls that the budget refused."""
        return int(self.client.hget(self.key, "refused") or 0)

    def _found(self) -> list[Any]:
        return [
            *self.client.hmget(self.key, "spent", "reserved"),
            self.client.zcard(f"{self.key}:leases"),
        ]
