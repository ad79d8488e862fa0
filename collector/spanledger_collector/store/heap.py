"""The process's heap, for processes through which bodies of many MiB pass."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_MIB = 1024 * 1024


def keep_heap() -> None:
    """Let glibc keep freed memory: bodies of many MiB come and go, and faulting their pages in again was half
    of what receiving them cost. Elsewhere than on glibc nothing is changed."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 64 * _MIB)
        mallopt(_M_MMAP_THRESHOLD, 32 * _MIB)
