"""Scores of spans that are over: a trace's id and a verdict in, ``POST /api/scores`` out, by a thread.

The caller never waits. While the collector is away, up to 1000 scores wait in memory; they are lost with the process,
unlike spans, and what does not fit or is refused is said once and counted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from typing import Any, Final

import orjson

from spanledger import collector_client
from spanledger.collector_client import CollectorAwayError
from spanledger.settings import Settings

logger = logging.getLogger("spanledger")
_MOST: Final = 1000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class Outbox:
    """Sends what is put in, in order, once the collector answers."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Settings, bytes]] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def put(self, settings: Settings, score: dict[str, Any]) -> None:
        """Send a score soon."""
        with self._wake:
            if len(self._waiting) >= _MOST:
                self._drop(f"{_MOST} scores wait for {settings.endpoint} already")
                return
            self._waiting.append((settings, orjson.dumps(score)))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spanledger-scores", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until all were sent; False when the time was too short."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._waiting, timeout_s)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._waiting))
                settings, body = self._waiting[0]
            if self._is_over(settings, body):
                pause_s = _FIRST_PAUSE_S
                with self._wake:
                    self._waiting.popleft()
                    self._wake.notify_all()
            else:
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _is_over(self, settings: Settings, body: bytes) -> bool:
        """Whether a score was taken, or will never be."""
        try:
            status, answer = collector_client.request(settings, "POST", "/api/scores", body)
        except CollectorAwayError:
            return False
        if status == 429 or status >= 500:
            return False
        if status >= 400:
            self._drop(f"{settings.endpoint} answered {status}: {answer[:300].decode(errors='replace')}")
        return True

    def _drop(self, why: str) -> None:
        self.dropped += 1
        if self.dropped == 1:
            logger.warning("A score was not sent: %s. Later ones are counted only.", why)


outbox = Outbox()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=outbox.__init__)


def body_of(
    name: str, value: float | bool | str, comment: str, trace_id: str, span_id: str
) -> dict[str, Any]:
    """A score as the collector's API takes it; a text value is a label.

    Raises:
        ValueError: an id has not as many hexadecimal digits as it must.
    """
    _check("trace_id", trace_id, 32)
    if span_id:
        _check("span_id", span_id, 16)
    verdict: dict[str, Any] = {"label": value} if isinstance(value, str) else {"value": float(value)}
    about = {"trace_id": trace_id.lower(), "span_id": span_id.lower(), "name": name, "source": "sdk"}
    return {**about, **verdict, "explanation": comment}


def _check(name: str, value: str, digits: int) -> None:
    if len(value) != digits or not all(digit in "0123456789abcdef" for digit in value.lower()):
        raise ValueError(f"{name}={value!r} is no id of {digits} hexadecimal digits")
