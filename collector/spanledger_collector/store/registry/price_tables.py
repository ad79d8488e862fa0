"""Documents of kind ``price`` in; one price table a project out."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from spanledger.prices import PriceTable

from .documents import SHARED
from .plan import Version

log = logging.getLogger(__name__)
LISTED = PriceTable()
"""The public list alone."""


def price_tables(rows: Iterable[Version]) -> dict[str, PriceTable]:
    """A table for each project that has price documents, with those of all projects behind its own.

    A document that cannot be read is left out and named in the log.
    """
    documents: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row.kind != "price":
            continue
        document = {**row.document, "name": row.name, "version": row.version}
        try:
            PriceTable([document])
        except ValueError as wrong:
            log.error("price document %s/%s is ignored: %s", row.project, row.name, wrong)
            continue
        documents.setdefault(row.project, []).append(document)
    shared = documents.get(SHARED, [])
    return {
        project: PriceTable(mine if project == SHARED else [*mine, *shared])
        for project, mine in documents.items()
    }


def table_of(tables: dict[str, PriceTable], project: str) -> PriceTable:
    """The project's own prices, those of all projects, and the public list, in that order."""
    return tables.get(project) or tables.get(SHARED) or LISTED
