"""The spool's folder: held by one process, and what an earlier one left in it."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path
from typing import IO

from .segment import Segment, survey

logger = logging.getLogger(__name__)

DAMAGED_DAYS = 7
"""Bytes cut off a damaged segment are kept for this long: they hold what people wrote, unredacted."""


class SpoolLockedError(Exception):
    """Another collector uses this folder."""


def lock(folder: Path) -> IO[bytes]:
    """Hold the folder for this process until the file is closed.

    Raises:
        SpoolLockedError: another process holds it.
    """
    file = (folder / "lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise SpoolLockedError(f"{folder} is in use by another collector") from None
    return file


def adopt(folder: Path) -> list[Segment]:
    """What an earlier process left, oldest first; torn tails, which nobody was told of, are cut off."""
    found: list[Segment] = []
    paths = sorted(folder.glob("*.spool"))
    for path in paths:
        size, (sound, received_at) = path.stat().st_size, survey(path)
        if sound < size:
            logger.warning("%s: cut %d bytes after its last whole record", path.name, size - sound)
            if path is not paths[-1]:  # only the last file can have been torn by a crash
                path.with_suffix(".damaged").write_bytes(path.read_bytes()[sound:])
            os.truncate(path, sound)
        if sound:
            found.append(Segment(path, sound, received_at))
        else:
            path.unlink()
    for path in folder.glob("*.damaged"):
        if time.time() - path.stat().st_mtime > DAMAGED_DAYS * 86_400:
            path.unlink()
    kept = {segment.prepared for segment in found}
    for path in folder.glob("*.prepared*"):
        if path not in kept:
            path.unlink()
    return found


def sync_folder(folder: Path) -> None:
    """Make the folder's own list of files durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
