"""Attribute vocabularies in, one lookup from an attribute's name to the record's field out."""

from .dialect import Dialect
from .table import DIALECTS, Rule, Table, build

__all__ = ["DIALECTS", "TABLE", "Dialect", "Rule", "Table"]

TABLE = build(DIALECTS)
