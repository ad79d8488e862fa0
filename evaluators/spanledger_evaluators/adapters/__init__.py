"""Metrics of ragas and deepeval over our own judge; imported when one of their scorers is used."""
