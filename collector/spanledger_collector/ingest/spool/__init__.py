"""Accepted requests in, durable segments out: what was acknowledged survives the process."""

from .segment import Record, Segment
from .spool import Spool, SpoolFullError, SpoolLockedError

__all__ = ["Record", "Segment", "Spool", "SpoolFullError", "SpoolLockedError"]
