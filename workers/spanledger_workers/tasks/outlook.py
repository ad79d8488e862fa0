"""What money is to come: forecasts, budgets that burn too fast, days out of habit."""

from __future__ import annotations

from datetime import UTC, datetime

from spanledger_collector.books import outlook
from spanledger_collector.store.reads.names import projects
from spanledger_workers.clock import SECOND
from spanledger_workers.current import process
from spanledger_workers.outlook import Outlook
from spanledger_workers.ticks import Did, tick

from .telling import log_events


@tick("foresee", 3600, longest_s=240, at_s=300)
def foresee() -> Did:
    """Forecast every project and budget, for pages and the API."""
    now = datetime.fromtimestamp(process.clock() // SECOND, UTC)
    told = [
        entry for project in projects(process.store) for entry in outlook.refresh(process.store, project, now)
    ]
    return {"forecasts": len(told), "fitted": sum(entry.forecast.method == "model" for entry in told)}


@tick("burn", 60, longest_s=120)
def burn() -> Did:
    """Tell budgets that burn too fast, and those that stopped."""
    rows = [(row.project, row.name, row.document) for row in process.documents().budgets]
    told = Outlook(store=process.store).burns(rows, process.clock())
    log_events(told)
    return {"budgets": len(rows), "events": len(told)}


@tick("odd_days", 86_400, longest_s=240, at_s=4 * 3600)
def odd_days() -> Did:
    """Tell days whose spend was out of habit, a few hours after they ended."""
    told = Outlook(store=process.store).odd_days(projects(process.store), process.clock())
    log_events(told)
    return {"events": len(told)}
