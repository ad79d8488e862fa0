"""HTTP answers of an OpenAI-compatible server in; replies and classified refusals out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from spanledger.records import ScoreStatus
from spanledger_evaluators.contract import JudgeFailure

_FORMAT_WORDS = ("response_format", "json_schema", "json_object", "structured output", "guided")


class Retry(Exception):
    """Worth another attempt; ``status`` is what the verdict becomes when attempts run out."""

    def __init__(
        self, message: str, *, status: ScoreStatus, after_s: float | None = None, overload: bool = False
    ) -> None:
        super().__init__(message)
        self.status: ScoreStatus = status
        self.after_s = after_s
        self.overload = overload


class Unsupported(Exception):
    """The server does not know this way of asking for JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One completion: its text, whether it was cut off or refused, and its tokens."""

    text: str
    cut: bool
    refused: str
    input_tokens: int
    output_tokens: int


def read_reply(body: str) -> Reply:
    """The first choice of a chat completion; raises Retry when the body is none."""
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        message = choice["message"]
    except (ValueError, KeyError, IndexError, TypeError) as wrong:
        raise Retry(
            f"the judge's server answered no chat completion: {body[:200]!r}", status="judge_error"
        ) from wrong
    usage = cast("dict[str, Any]", data.get("usage") or {})
    finish = str(choice.get("finish_reason") or "")
    refused = str(message.get("refusal") or "") or ("content filter" if finish == "content_filter" else "")
    return Reply(
        text=_text(message.get("content")),
        cut=finish == "length",
        refused=refused,
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
    )


def read_vectors(body: str, count: int) -> tuple[list[list[float]], int]:
    """The vectors of an embeddings answer in order, and its tokens; raises Retry when they are not sound."""
    try:
        data = json.loads(body)
        entries = sorted(data["data"], key=lambda entry: entry["index"])
        vectors = [[float(part) for part in entry["embedding"]] for entry in entries]
    except (ValueError, KeyError, TypeError) as wrong:
        raise Retry(f"the server answered no embeddings: {body[:200]!r}", status="judge_error") from wrong
    sizes = {len(vector) for vector in vectors}
    finite = all(math.isfinite(part) for vector in vectors for part in vector)
    if len(vectors) != count or len(sizes) != 1 or 0 in sizes or not finite:
        raise Retry(f"{len(vectors)} embeddings of sizes {sorted(sizes)} for {count} texts", status="invalid")
    usage: dict[str, Any] = data.get("usage") or {}
    return vectors, _count(usage.get("prompt_tokens"))


def refusal(status: int, headers: Mapping[str, str], body: str) -> Exception:
    """What an answer that is not 200 means: another attempt, another way of asking, or the end."""
    told = f"HTTP {status}: {body[:300]}"
    if status in (402, 429) and "budget" in body.lower():
        return JudgeFailure("over_budget", told)
    if status == 429:
        return Retry(told, status="judge_error", after_s=_seconds(headers.get("retry-after")), overload=True)
    if status >= 500 or status in (408, 409, 425):
        overload = status in (503, 529)
        return Retry(
            told, status="judge_error", after_s=_seconds(headers.get("retry-after")), overload=overload
        )
    if status in (400, 404, 415, 422, 501) and any(word in body.lower() for word in _FORMAT_WORDS):
        return Unsupported(told)
    return JudgeFailure("judge_error", told)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # some servers answer in parts
        parts = cast("list[dict[str, Any]]", content)
        return "".join(str(part.get("text") or "") for part in parts)
    return ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None  # an HTTP date: our own back-off serves
