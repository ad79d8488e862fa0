"""Reads for pages and the query API: one module a question, one typed function each."""
