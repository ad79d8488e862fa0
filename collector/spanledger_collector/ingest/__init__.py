"""OTLP in -> spool -> normalise -> price -> redact -> one columnar insert."""
