"""What a budget has spent: all kinds of spend in the ledger, or those it covers, over its period and the latest windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from spanledger_collector.store.registry.documents import SHARED

from .asking import Client
from .evaluation import spend
from .ledger import Ask, costs
from .window import DAY, Window

FIELDS = ("organisation", "team", "key_id", "user_id", "route", "feature", "model", "upstream")


def budget_spend(
    client: Client, *, project: str, scope: Mapping[str, str], covers: Sequence[str], since: int, now: int
) -> Decimal:
    """USD spent from ``since`` to ``now`` (ns) within the scope; unpriced calls add nothing. Project ``*``: all together.

    Whole days come from the sums by day. A scope that names a model means the model that was asked for, as gateways do;
    the ledger holds the one that answered, so such a budget is summed from the calls alone. Raises ValueError for a
    field that budgets do not know.
    """
    unknown = sorted(set(scope) - set(FIELDS))
    if unknown:
        raise ValueError(f"a budget's scope cannot hold {', '.join(unknown)}")
    everywhere = project == SHARED
    if "model" in scope:
        return spend(client, project=project, scope=scope, since=since, everywhere=everywhere)
    today = now - now % DAY
    windows = [Window(since, today)] if since < today and since % DAY == 0 else []
    windows.append(Window(max(since, today) if windows else since, now + 1))
    total, which = Decimal(0), Ask(only=dict(scope), as_closed=False, everywhere=everywhere)
    for window in windows:
        rows = costs(client, project, window, ["category"], which=which)
        total += sum((row.cost for row in rows if not covers or row.group[0] in covers), Decimal(0))
    return total
