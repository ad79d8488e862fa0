"""Trace every LLM call with one decorator, and never lose a span."""
