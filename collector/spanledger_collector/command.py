"""`spanledger collector`: OTLP/HTTP, OTLP/gRPC and the query API."""
