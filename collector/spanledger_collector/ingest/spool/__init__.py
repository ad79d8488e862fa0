"""Accepted requests in, durable segments out: what was acknowledged survives the process."""

from .folder import SpoolLockedError
from .segment import Record, Segment
from .spool import Spool, SpoolFullError

__all__ = ["Record", "Segment", "Spool", "SpoolFullError", "SpoolLockedError"]
