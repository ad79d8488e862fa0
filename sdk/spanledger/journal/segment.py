"""One journal file: a header both sides read, then OTLP records; written by one process, shipped by another.

The writer stores a record and then moves ``committed``; the shipper posts up to ``committed`` and moves
``shipped``. Each header word has one writer and is stored in one aligned 8-byte write, so no lock crosses
the process border. The writer holds a ``flock`` on the file while it lives: a file that can be locked is
an orphan and nobody will add to it.
"""

from __future__ import annotations

import fcntl
import mmap
import os

MAGIC = b"SPANJ001"
HEADER = 4096
SUFFIX = ".seg"
_RESOURCE_AT = 512
_ZEROS = memoryview(bytes(1 << 18))

# Header words (index of an unsigned 64-bit integer). Words of the writer:
COMMITTED, COUNT, CLOSED, PID, CREATED, RESOURCE_SIZE = 1, 2, 3, 4, 5, 6
# Words of the shipper; every count is of spans.
SHIPPED, SHIPPED_COUNT, INFLIGHT, REJECTED, ATTEMPTS, STATUS, EXPIRED = 16, 17, 18, 19, 20, 21, 22


class Segment:
    """A mapped segment, either side. ``words`` is the header, ``data`` the whole file."""

    __slots__ = ("_map", "data", "descriptor", "path", "size", "words")

    def __init__(self, path: str, descriptor: int, length: int = 0) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self._map = mmap.mmap(descriptor, length)
        self.data = memoryview(self._map)
        self.words = self.data[:_RESOURCE_AT].cast("Q")

    @classmethod
    def create(cls, path: str, size: int, resource: bytes, now: int) -> Segment:
        """A new empty segment, readable by its owner only.

        Raises:
            OSError: the disk is full, read-only or not there. Space is reserved now, since a store into a
                map without space behind it would kill the process.
        """
        if len(resource) > HEADER - _RESOURCE_AT:
            raise ValueError("the resource does not fit into a segment's header")
        hidden = path.removesuffix(SUFFIX) + ".new"
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _reserve(descriptor, size)
            segment = cls(path, descriptor)
            segment.data[:8] = MAGIC
            segment.data[_RESOURCE_AT : _RESOURCE_AT + len(resource)] = resource
            words = segment.words
            words[RESOURCE_SIZE], words[PID], words[CREATED] = len(resource), os.getpid(), now
            words[COMMITTED] = words[SHIPPED] = HEADER
            os.rename(hidden, path)  # from here on a shipper sees it
        except OSError:
            os.close(descriptor)
            unlink(hidden)
            raise
        return segment

    @classmethod
    def open(cls, path: str) -> Segment | None:
        """The shipper's view of a file; None when it is gone or no segment."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            return None
        try:
            if os.fstat(descriptor).st_size > HEADER:
                segment = cls(path, descriptor)
                if bytes(segment.data[:8]) == MAGIC:
                    return segment
                segment.close()
                return None
        except (OSError, ValueError):
            pass
        os.close(descriptor)
        return None

    @property
    def resource(self) -> bytes:
        """The resource field all records of this segment share."""
        return bytes(self.data[_RESOURCE_AT : _RESOURCE_AT + self.words[RESOURCE_SIZE]])

    def orphaned(self) -> bool:
        """Whether no process writes here any more. Asked by the shipper only."""
        if self.words[CLOSED]:
            return True
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def recycle(self, now: int) -> None:
        """Start again at the front of a file whose records were all taken: its memory is warm already.

        ``committed`` goes back first: with ``shipped`` ahead of it the shipper sees nothing to do.
        """
        words = self.words
        words[COMMITTED] = HEADER
        words[INFLIGHT] = words[COUNT] = words[SHIPPED_COUNT] = words[REJECTED] = words[EXPIRED] = 0
        words[CREATED] = now
        words[SHIPPED] = HEADER

    def shrink_to_header(self) -> None:
        """Keep the header for its counts and give the records' memory back. Only once it is closed."""
        keep = mmap.mmap(self.descriptor, HEADER)
        self.close()
        self._map = keep
        self.data = memoryview(keep)
        self.words = self.data[:_RESOURCE_AT].cast("Q")

    def close(self) -> None:
        """Unmap and unlock. The file stays."""
        self.words.release()
        self.data.release()
        self._map.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def unlink(path: str) -> None:
    """Remove a file that may be gone already."""
    try:
        os.unlink(path)
    except OSError:
        pass


def _reserve(descriptor: int, size: int) -> None:
    """Take the space and fill it with zeros.

    Filling at once makes whole large pages of the file present: a store into the map then costs 0.4 us a record
    instead of 3.7 us, most of which was ext4 preparing one page after the other.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    done = 0
    while done < size:
        done += os.pwrite(descriptor, _ZEROS[: size - done], done)
