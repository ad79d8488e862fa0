"""Attribute vocabularies in, one lookup from an attribute's name to the record's field out."""

from .table import DIALECTS, Dialect, Table, build

__all__ = ["DIALECTS", "TABLE", "Dialect", "Table"]

TABLE = build(DIALECTS)
