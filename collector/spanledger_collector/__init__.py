"""OTLP in, priced rows out, and the query API."""
