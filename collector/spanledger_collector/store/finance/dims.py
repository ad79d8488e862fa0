"""Whose and what a row of the ledger is: the dimensions that all its tables share, in one order."""

from __future__ import annotations

from spanledger_collector.store.reads.spend import MODEL

DIMS = (
    "organisation", "team", "feature", "customer_id", "user_id", "session_id", "key_id", "tags", "route", "model",
    "provider", "upstream", "gpu_pool", "purpose", "service_tier", "region", "environment", "service", "prompt_name",
    "cache",
)  # fmt: skip

CATEGORY = """multiIf(purpose = 'eval', 'evaluation', purpose = 'cache_check', 'cache_check', operation = 'embeddings',
    'embedding', gpu_pool != '', 'gpu', 'api')"""
"""The category of a row of ``spans``, as the view ``ledger`` has it."""

OF_SPANS = ", ".join(f"{MODEL} AS model" if name == "model" else name for name in DIMS)
"""The dimensions as a select list over ``spans``."""

BUCKETS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens",
    "image_units", "web_searches",
)  # fmt: skip
"""The usage columns of ``spans``: what ``spanledger.prices`` prices."""
