"""The collector process: one ASGI app of ingest, query API, health and metrics."""
