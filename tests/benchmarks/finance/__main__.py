"""What finance promises, measured: ``make bench-finance`` (``SPANLEDGER_BENCH_ROWS``, default 5,000,000 calls)."""

from __future__ import annotations

import os

from tests.benchmarks.report import report

from . import pages, promises


def main() -> int:
    """Measure and report."""
    rows = int(os.environ.get("SPANLEDGER_BENCH_ROWS", "5000000"))
    return report([*promises.figures(), *pages.figures(rows)])


if __name__ == "__main__":
    raise SystemExit(main())
