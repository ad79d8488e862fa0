"""The home folder: a path in; a lock on it and the secrets that live in it, out."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path


class InUseError(Exception):
    """Another ``spanledger up`` runs on this home; the message names its pid."""


class HomeLock:
    """Held as long as the process lives: the kernel drops it, however the process ends."""

    def __init__(self, home: Path) -> None:
        """Take the lock.

        Raises:
            InUseError: somebody else has it.
        """
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(home / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise InUseError(
                f"`spanledger up` already runs on {home} (process {holder}); "
                "stop it, or start another one with --home DIR and other ports"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        with suppress(OSError):
            os.ftruncate(self._file, 0)
        os.close(self._file)


def kept_secret(path: Path, prefix: str = "") -> str:
    """The secret in a file, made at the first call; only the owner can read it."""
    with suppress(FileNotFoundError):
        found = path.read_text().strip()
        if found:
            return found
        path.unlink()  # a crash between creating and writing it
    made = prefix + secrets.token_hex(24)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w") as out:
        out.write(made + "\n")
    return made


def write_private(path: Path, text: str) -> None:
    """Replace a file whose content only the owner may read."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w") as out:
        out.write(text)
    draft.replace(path)
