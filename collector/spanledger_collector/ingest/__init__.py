"""OTLP in, rows of the store out: receive, spool, normalise, price, redact, insert."""
