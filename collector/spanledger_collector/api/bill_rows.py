"""What became of the rows of vendors' files, on ``/metrics``: asked of the store when somebody scrapes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client import Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from spanledger_collector.store.clickhouse import Client, EngineError
from spanledger_collector.store.finance.invoices import rows_by_outcome

log = logging.getLogger(__name__)

REFUSED = Counter("spanledger_finance_refused_files", "Vendors' files that could not be read.")


class BillRows(Collector):
    """Rows of files that were imported and not withdrawn; absent while the store is away."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked of the store before somebody scrapes."""
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        """One sample a project, source and outcome."""
        family = self._family()
        try:
            for entry in rows_by_outcome(self._client):
                family.add_metric([entry.project, entry.source, entry.outcome], entry.rows)
        except EngineError as away:
            log.warning("rows of bills are not told: %s", str(away)[:200])
            return
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "spanledger_finance_bill_rows",
            "Rows of vendors' files by outcome: taken, or the reason why a row was left out.",
            labels=["project", "source", "outcome"],
        )
