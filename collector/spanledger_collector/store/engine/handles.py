"""A database and settings in; one of a few engine connections, made ready for them, out."""

from __future__ import annotations

import queue
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from .library import load_engine


class View(Protocol):
    """An answer without a copy; holds the engine's memory until released."""

    def view(self) -> memoryview: ...  # noqa: D102


class Result(Protocol):
    """What the engine answers: one block of output and its statistics."""

    def bytes(self) -> bytes: ...  # noqa: D102
    def get_memview(self) -> View: ...  # noqa: D102
    def size(self) -> int: ...  # noqa: D102
    def elapsed(self) -> float: ...  # noqa: D102
    def rows_read(self) -> int: ...  # noqa: D102
    def rows_written(self) -> int: ...  # noqa: D102
    def bytes_written(self) -> int: ...  # noqa: D102
    def storage_rows_read(self) -> int: ...  # noqa: D102
    def storage_bytes_read(self) -> int: ...  # noqa: D102


class Classified(Protocol):
    """Member of the engine's ``query_class``."""

    name: str


class Connection(Protocol):
    """The part of ``_chdb.connect`` used here; every call raises RuntimeError with the engine's text."""

    def query(self, query_str: str, format: str, *, params: Mapping[str, str]) -> Result: ...  # noqa: D102
    def send_query(self, query_str: str, format: str, *, params: Mapping[str, str]) -> object: ...  # noqa: D102
    def streaming_fetch_result(self, streaming_result: object) -> Result: ...  # noqa: D102
    def streaming_cancel_query(self, streaming_result: object) -> None: ...  # noqa: D102
    def send_insert(self, query_str: str, format: str) -> object: ...  # noqa: D102
    def insert_append(self, insert_result: object, data: bytes) -> None: ...  # noqa: D102
    def insert_done(self, insert_result: object) -> Result: ...  # noqa: D102
    def insert_cancel(self, insert_result: object) -> None: ...  # noqa: D102
    def classify_query(self, sql: str) -> Mapping[str, object]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


@cache
def _engine() -> ModuleType:
    return load_engine()


class Handle:
    """One engine connection that remembers its database and settings, so that a change costs one call.

    Settings stay until a request asks for others: clients send the same ones again and again.
    """

    def __init__(self, path: Path, tag: str, defaults: Mapping[str, str]) -> None:
        self.tag = tag
        """Found as ``log_comment`` on each statement of this handle in ``system.processes``."""
        self._path = path
        self._defaults = {**defaults, "log_comment": tag}  # no request can set log_comment
        self._open()

    def _open(self) -> None:
        # The wheel's stub names only its user-defined functions.
        self.connection = cast(Connection, vars(_engine())["connect"](str(self._path)))
        self._database = "default"
        self._readonly = ""
        self._settings: dict[str, str] = {}
        self._apply({})

    def prepare(self, database: str, settings: dict[str, str], readonly: str) -> None:
        """Switch to a database and exactly these settings; ``readonly`` is empty, 1 or 2.

        Raises RuntimeError with the engine's text, after which the handle is as new.
        """
        wanted = self._defaults | settings if settings else self._defaults
        same = (readonly, wanted, database) == (self._readonly, self._settings, self._database)
        if same:
            return
        if self._readonly:
            self.reset()  # the engine lets nobody leave readonly mode
        try:
            if database != self._database:
                self.run(f"USE {quoted(database, '`')}")
                self._database = database
            self._apply(settings)
            if readonly:
                self.run(f"SET readonly = {readonly}")
                self._readonly = readonly
        except RuntimeError:
            self.reset()
            raise

    def reset(self) -> None:
        """Drop whatever a statement left in the session: settings, temporary tables, its database."""
        self.connection.close()
        self._open()

    def run(self, sql: str, params: Mapping[str, str] | None = None) -> bytes:
        """Run one statement and return its answer in the format it names."""
        return self.connection.query(sql, "TabSeparated", params=params or {}).bytes()

    def _apply(self, settings: dict[str, str]) -> None:
        wanted = self._defaults | settings
        changes = [
            f"{name} = {quoted(value)}" for name, value in wanted.items() if self._settings.get(name) != value
        ]
        changes += [f"{name} = DEFAULT" for name in self._settings if name not in wanted]
        if changes:
            self.run("SET " + ", ".join(changes))
        self._settings = wanted


class Handles:
    """All connections to one data path. Threads lease one each; the last returned is lent first."""

    def __init__(self, path: Path, size: int, defaults: Mapping[str, str]) -> None:
        self._idle: queue.LifoQueue[Handle] = queue.LifoQueue()
        self._all = [Handle(path, f"handle-{number}", defaults) for number in range(size)]
        for handle in self._all:
            self._idle.put(handle)

    @contextmanager
    def lease(self) -> Generator[Handle]:
        """One handle for one statement."""
        handle = self._idle.get()
        try:
            yield handle
        finally:
            self._idle.put(handle)

    def close(self) -> None:
        """Wait for every handle to come back, then close the engine."""
        for _ in self._all:
            self._idle.get().connection.close()


def quoted(text: str, quote: str = "'") -> str:
    """A SQL string literal, or an identifier with a backtick as ``quote``."""
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote
