"""What the registry refuses, each as its own error; every message tells the user what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RegistryError(Exception):
    """The base of every refusal: permanent, the same request fails again."""


@dataclass(slots=True, frozen=True)
class Problem:
    """One wrong value of a document: where (field names and list positions) and what is wrong."""

    kind: str
    name: str
    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}: {self.where}: {self.message}".replace(": : ", ": ")

    @property
    def where(self) -> str:
        """The path as one writes it, ``targets[0].upstream``; empty for the document as a whole."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return text.removeprefix(".")


class DocumentError(RegistryError):
    """Documents do not hold what their kinds ask for; nothing was written."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(map(str, problems)))


class ConflictError(RegistryError):
    """Somebody else changed the document: read it again and repeat."""

    def __init__(self, kind: str, name: str, current: int, base: int | None) -> None:
        self.current = current
        super().__init__(
            f"{kind} {name!r} is at version {current}, not {base}: read it again and repeat the change"
            if base is not None
            else f"{kind} {name!r} is being changed by others: try again"
        )


class NotFoundError(RegistryError):
    """There is no such document or version."""


class InUseError(RegistryError):
    """The document cannot go: others refer to it."""

    def __init__(self, kind: str, name: str, users: Sequence[str]) -> None:
        self.users = list(users)
        super().__init__(f"{kind} {name!r} is used by {', '.join(users)}: change them first")
