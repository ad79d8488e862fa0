"""What finance decides: pure functions over sums and rows of the ledger. No I/O, no SQL."""
