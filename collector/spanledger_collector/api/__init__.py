"""The query API under /api/: calls, traces, scores, costs, events, registry."""
