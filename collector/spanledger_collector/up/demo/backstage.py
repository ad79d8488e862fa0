"""What the demo tells the stand-ins and the collector, and what it reads back, over HTTP."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .cases import DemoCase
from .documents import BUDGET_TEAM

TIMEOUT_S = 10.0
PRIMARY_PACE = {"latency_s": 0.12, "first_token_s": 0.15, "chunk_s": 0.02, "chunk_tokens": 6}
BACKUP_PACE = {"latency_s": 0.2, "first_token_s": 0.25, "chunk_s": 0.03, "chunk_tokens": 6}


class StandIn:
    """A stand-in model server's control."""

    def __init__(self, url: str) -> None:
        self.url = url

    def tell(self, changes: Mapping[str, object]) -> None:
        """Change its behaviour."""
        _request("PUT", f"{self.url}/control", {"content-type": "application/json"}, changes)

    def learn(self, cases: Sequence[DemoCase], *, backup: bool) -> None:
        """Teach it its answers and its pace."""
        answers = {case.question: case.backup if backup else case.right for case in cases}
        wrong = {case.question: case.wrong for case in cases}
        pace = BACKUP_PACE if backup else PRIMARY_PACE
        self.tell({"answer": answers, "wrong_answer": wrong, "quality": 1.0, "error_status": 0, **pace})


class Collector:
    """The collector's API, with one key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def apply(self, documents: Sequence[Mapping[str, object]], note: str) -> Any:
        """Bring registry documents about."""
        body = {"documents": documents, "note": note}
        return _request("POST", f"{self._url}/api/registry/apply", self._headers, body)

    def spent_today(self) -> Decimal:
        """What the budgeted team spent since midnight UTC."""
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        rows: list[dict[str, Any]] = self._get("/api/costs", since=midnight.isoformat(), by="team")
        mine = [Decimal(str(row["cost"])) for row in rows if row["group"]["team"] == BUDGET_TEAM]
        return sum(mine, Decimal(0))

    def events_since(self, since_ns: int) -> list[dict[str, Any]]:
        """Events of the audit trail, oldest first."""
        rows: list[dict[str, Any]] = self._get("/api/events", since=str(since_ns))["events"]
        return sorted(rows, key=lambda row: int(row["time"]))

    def _get(self, path: str, **query: str) -> Any:
        return _request("GET", f"{self._url}{path}?{urllib.parse.urlencode(query)}", self._headers)


def _request(method: str, url: str, headers: Mapping[str, str], body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=dict(headers), method=method)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.loads(answer.read() or b"null")
