"""No cell runs in a spreadsheet, and harmless ones stay as they are."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spanledger_collector.store.reads.cells import neutral


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=1", "  =1", "\uff1d1"])
def test_a_cell_that_begins_like_a_formula_becomes_text(cell: str) -> None:
    assert neutral(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "a=1", "'x", -1, Decimal(-1), 0.5])
def test_other_cells_stay_as_they_are(cell: object) -> None:
    assert neutral(cell) == cell
