"""Statements that wait or run in; a list of them, and the end of those that shall stop, out."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .errors import DUPLICATE_QUERY_ID, QUERY_CANCELLED, refusal
from .handles import Handle, quoted


@dataclass(slots=True, eq=False)
class Work:
    """One request from its admission to the end of its answer.

    The engine names its queries itself, so a running one is found by the tag of the handle it runs on.
    """

    query_id: str
    tag: str = ""
    """The handle's tag while it runs, else empty."""
    reads: bool = False
    """It leaves no trace, so it may be stopped when its client goes away."""
    cancelled: bool = False
    done: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def on(self, handle: Handle) -> Generator[None]:
        """Runs on ``handle`` inside this block; raises ``EngineError`` when it was cancelled before."""
        with self.lock:
            self.check()
            self.tag = handle.tag
        try:
            yield
        finally:
            with self.lock:  # a kill that is on its way must not meet the handle's next statement
                self.tag = ""

    def check(self) -> None:
        """Raise ``EngineError`` when it was cancelled."""
        if self.cancelled:
            raise refusal(QUERY_CANCELLED, "Query was cancelled.")


class Running:
    """All work of this server, and the one connection kept free to kill it."""

    def __init__(self, control: Handle) -> None:
        self._control = control
        self._control_lock = threading.Lock()
        self._works: dict[str, Work] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._works)

    def add(self, query_id: str) -> Work:
        """Register a request; raises ``EngineError`` when its id runs already, as ClickHouse does."""
        work = Work(query_id)
        with self._lock:
            if query_id in self._works:
                raise refusal(DUPLICATE_QUERY_ID, f"Query with id = {query_id} is already running.")
            self._works[query_id] = work
        return work

    def remove(self, work: Work) -> None:
        """The request is answered."""
        work.done = True
        with self._lock:
            self._works.pop(work.query_id, None)

    def all(self) -> list[Work]:
        """Everything that waits or runs."""
        with self._lock:
            return list(self._works.values())

    def still_there(self, listed: Iterable[Sequence[str]]) -> list[Work]:
        """Of rows (tag, query id) of ``processes``, the work that has run on that handle ever since."""
        found: list[Work] = []
        for tag, query_id in listed:
            work = self._works.get(query_id)
            if work is not None and work.tag == tag:
                found.append(work)
        return found

    def cancel(self, works: Sequence[Work], patience_s: float) -> bool:
        """Cancel, and wait until all have ended; False when some still run after ``patience_s``.

        Asks the engine again and again: between two of its steps a statement may be unknown to it.
        """
        deadline = time.monotonic() + patience_s
        pause = 0.01
        while True:
            for work in works:
                self._kill(work)
            if all(work.done or not work.tag for work in works):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def wait(self, works: Sequence[Work], patience_s: float) -> bool:
        """Wait until all have ended; False when some still run after ``patience_s``."""
        deadline = time.monotonic() + patience_s
        while any(work.tag for work in works):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def close(self) -> None:
        """Give the control connection back."""
        self._control.connection.close()

    def _kill(self, work: Work) -> None:
        with work.lock:
            work.cancelled = True
            if work.tag:
                with self._control_lock:
                    self._control.run(f"KILL QUERY WHERE Settings['log_comment'] = {quoted(work.tag)} ASYNC")

    def failed_inserts(self) -> bytes:
        """How many inserts have failed in this engine so far, as it counts them itself."""
        with self._control_lock:
            return self._control.run("SELECT value FROM system.events WHERE event = 'FailedInsertQuery'")

    def processes(self) -> str:
        """A subquery: ``system.processes`` of this server's own statements, with the ids clients gave them."""
        named = [(work.tag, work.query_id) for work in self.all() if work.tag]
        tags = ", ".join(quoted(tag) for tag, _ in named)
        ids = ", ".join(quoted(query_id) for _, query_id in named)
        renamed = f"transform(Settings['log_comment'], [{tags}], [{ids}], query_id)" if named else "query_id"
        return f"(SELECT * REPLACE ({renamed} AS query_id) FROM system.processes)"  # noqa: S608
