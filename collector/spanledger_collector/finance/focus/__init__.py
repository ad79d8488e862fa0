"""The ledger's sums in; a FOCUS 1.2 dataset (FinOps Open Cost and Usage Specification) as rows and files out. Pure."""

from __future__ import annotations

from .charges import Charge, Meter, Period, charges_of
from .columns import COLUMNS, VERSION
from .files import as_csv, as_parquet
from .rows import row_of

__all__ = [
    "COLUMNS",
    "VERSION",
    "Charge",
    "Meter",
    "Period",
    "as_csv",
    "as_parquet",
    "charges_of",
    "row_of",
]
