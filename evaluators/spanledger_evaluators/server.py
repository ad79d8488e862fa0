"""The collector's HTTP API, as far as evaluation needs it: documents, calls, scores and spans."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

import httpx

from .settings import EvalSettings

Row = dict[str, Any]
Query = Mapping[str, str | int | Sequence[str]]
_SCORES_AT_ONCE = 500


class CollectorError(Exception):
    """The collector did not answer, or refused; the message says what to do."""


class NotThere(CollectorError):
    """The collector knows no such thing."""


class Collector:
    """One collector and one key. Every method raises CollectorError where it gets no good answer."""

    def __init__(self, settings: EvalSettings, client: httpx.AsyncClient) -> None:
        """``client`` is the caller's to close."""
        self._settings, self._client = settings, client

    async def document(self, kind: str, name: str, version: int | None = None) -> Row:
        """A registry document: ``document``, ``version`` and who changed it; the newest without a version."""
        asked = {} if version is None else {"version": version}
        return cast(Row, await self._json("GET", f"/api/registry/{kind}/{quote(name, safe='')}", query=asked))

    async def put_document(self, kind: str, name: str, document: Row, note: str) -> Row:
        """Write a new version of a registry document; the same again changes nothing."""
        body = {"document": document, "note": note}
        return cast(Row, await self._json("PUT", f"/api/registry/{kind}/{quote(name, safe='')}", body=body))

    async def calls(self, query: Query) -> AsyncIterator[Row]:
        """Calls with all that was recorded of them, oldest first; ``query`` as ``GET /api/export/calls`` takes it."""
        async for row in self._lines("/api/export/calls", query):
            yield row

    async def scores(self, query: Query) -> AsyncIterator[Row]:
        """Scores by name and time; ``query`` as ``GET /api/export/scores`` takes it."""
        async for row in self._lines("/api/export/scores", query):
            yield row

    async def post_scores(self, scores: Sequence[Row]) -> None:
        """Store scores; the same again changes nothing."""
        for start in range(0, len(scores), _SCORES_AT_ONCE):
            part = list(scores[start : start + _SCORES_AT_ONCE])
            await self._json("POST", "/api/scores", body={"scores": part})

    async def post_spans(self, request: Row) -> None:
        """Store an OTLP/JSON export request; spans stored before are not stored again."""
        answer = cast(Row, await self._json("POST", "/v1/traces", body=request))
        refused = cast(Row, answer.get("partialSuccess") or {})
        if int(refused.get("rejectedSpans") or 0):
            raise CollectorError(f"the collector refused spans: {refused.get('errorMessage')}")

    async def _lines(self, path: str, query: Query) -> AsyncIterator[Row]:
        asked = {"format": "jsonl", **query}
        try:
            async with self._client.stream(
                "GET", self._settings.endpoint + path, params=asked, headers=self._headers()
            ) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise self._refusal(answer)
                async for line in answer.aiter_lines():
                    if line:
                        yield cast(Row, json.loads(line))
        except httpx.HTTPError as wrong:
            raise self._away(wrong) from wrong

    async def _json(self, method: str, path: str, *, query: Query | None = None, body: object = None) -> Any:
        try:
            answer = await self._client.request(
                method,
                self._settings.endpoint + path,
                params=dict(query or {}),
                json=body,
                headers=self._headers(),
            )
        except httpx.HTTPError as wrong:
            raise self._away(wrong) from wrong
        if answer.status_code != 200:
            raise self._refusal(answer)
        return answer.json()

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._settings.key}"} if self._settings.key else {}

    def _away(self, wrong: httpx.HTTPError) -> CollectorError:
        return CollectorError(
            f"no answer from the collector at {self._settings.endpoint} (SPANLEDGER_ENDPOINT):"
            f" {str(wrong) or type(wrong).__name__}"
        )

    def _refusal(self, answer: httpx.Response) -> CollectorError:
        told = answer.text[:500]
        try:
            problem = answer.json()
            told = str(problem.get("detail") or problem.get("title") or problem.get("message") or told)
        except (ValueError, AttributeError):
            pass
        if answer.status_code in (401, 403):
            told += " (SPANLEDGER_KEY)"
        kind = NotThere if answer.status_code == 404 else CollectorError
        return kind(f"the collector answered {answer.status_code}: {told}")
