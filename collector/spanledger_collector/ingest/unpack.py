"""A sealed segment in; what its requests tell, as rows without price or verdict, out. Never asks the store."""

from __future__ import annotations

import time
from collections.abc import Callable

from google.protobuf.message import DecodeError

from .errors import Refused
from .logs import merge_contents, normalise_logs
from .metrics import Metrics
from .normalise import normalise
from .rows import Batch, Row, Tenancy
from .spool import Record, Segment
from .wire import inflate

_INFLATED_LIMIT = 1 << 31  # the limit held when the request was accepted
_MESSAGE_LENGTH = 2000
WITHHELD = "payload withheld: the project redacts its content, and this could not be"


class Letters:
    """Dead letters of one segment: what cannot become a row, with the reason."""

    def __init__(self, metrics: Metrics, clock: Callable[[], int] = time.time_ns) -> None:
        """``clock`` gives ns since the epoch."""
        self._metrics, self._clock = metrics, clock
        self.rows: list[Row] = []

    def add(self, project: str, reason: str, message: str, payload: bytes) -> None:
        """Set one thing aside, and count it."""
        self._metrics.dead.labels(reason).inc()
        self.rows.append(
            {
                "project": project,
                "time": self._clock(),
                "source": "ingest",
                "reason": reason,
                "message": message[:_MESSAGE_LENGTH],
                "payload": payload.hex(),
            }
        )

    def withhold(self, redacts: Callable[[str], bool]) -> None:
        """Take the bytes, which nobody redacted, out of the letters of projects whose content is redacted."""
        for row in self.rows:
            if redacts(row["project"]) and row["payload"]:
                row["payload"] = ""
                row["message"] += f" ({WITHHELD})"


def unpack(segment: Segment, letters: Letters) -> Batch:
    """Every span and score of a segment; requests and spans that cannot be read become ``letters``."""
    batch = Batch()
    for record in segment.load():
        _add(record, batch, letters)
    merge_contents(batch)
    return batch


def _add(record: Record, batch: Batch, letters: Letters) -> None:
    tenancy = Tenancy(record.project, record.team, record.key_id, record.received_at, record.trusted)
    try:
        body = record.plain or inflate(record.body, record.encoding, _INFLATED_LIMIT)
        (normalise if record.signal == "traces" else normalise_logs)(body, tenancy, batch)
    except (DecodeError, Refused) as wrong:  # it could be read when it was accepted: the disk changed it
        letters.add(record.project, "unreadable", repr(wrong), record.plain or record.body)
    for project, why, span in batch.faults:
        letters.add(project, "not_normalised", why, span)
    batch.faults.clear()
