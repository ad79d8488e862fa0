"""Tables that finance reads and writes as rows: the one home of their SQL. Sums of the ledger: ``reads/ledger.py``."""
