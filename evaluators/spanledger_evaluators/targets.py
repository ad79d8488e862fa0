"""What an experiment puts its questions to: a function, a route or model behind the gateway, or nobody."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx

from spanledger import semconv

from .contract import Case

Target = Callable[[Case], Awaitable["Answered"]]


class TargetError(ValueError):
    """There is no such target; the message says what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The case with its answer, or why there is none; ``duration_ns`` as the caller saw it."""

    case: Case
    error: str = ""
    duration_ns: int | None = None
    trace_id: str = ""


async def recorded(case: Case) -> Answered:
    """The answer that the dataset holds."""
    return Answered(case=case, error="" if case.answer else "the dataset holds no answer to this case")


def function_target(function: Callable[..., Any]) -> Target:
    """A function that takes a case and returns text, or a case with contexts; sync ones run in threads."""

    async def ask(case: Case) -> Answered:
        begun = time.monotonic_ns()
        if inspect.iscoroutinefunction(function):
            answer = await function(case)
        else:
            answer = await asyncio.to_thread(function, case)
        return Answered(case=_with_answer(case, answer), duration_ns=time.monotonic_ns() - begun)

    return ask


def import_function(address: str) -> Callable[..., Any]:
    """The function at ``module:name``. Raises TargetError where there is none."""
    module, _, name = address.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as wrong:
        raise TargetError(f"{address}: {wrong}") from wrong
    if not callable(found):
        raise TargetError(f"{address} is no function")
    return cast("Callable[..., Any]", found)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTarget:
    """Asks a route or model of an OpenAI-compatible endpoint, with the contexts as sources where there are any."""

    client: httpx.AsyncClient
    base_url: str
    model: str
    key: str = ""
    system: str = ""

    async def __call__(self, case: Case) -> Answered:
        """One chat completion; a refusal is an error of the case, not of the run."""
        headers = {"x-spanledger-purpose": "eval"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        begun = time.monotonic_ns()
        body = {"model": self.model, "messages": self._messages(case)}
        response = await self.client.post(f"{self.base_url}/chat/completions", json=body, headers=headers)
        took = time.monotonic_ns() - begun
        trace = response.headers.get(semconv.HEADER_TRACE_ID, "")
        if response.status_code != 200:
            error = f"HTTP {response.status_code}: {response.text[:300]}"
            return Answered(case=case, error=error, duration_ns=took, trace_id=trace)
        text = response.json()["choices"][0]["message"].get("content") or ""
        return Answered(case=replace(case, answer=text), duration_ns=took, trace_id=trace)

    def _messages(self, case: Case) -> list[dict[str, str]]:
        given = case.metadata.get("messages")
        if isinstance(given, list):
            return cast("list[dict[str, str]]", given)
        made = [{"role": "system", "content": self.system}] if self.system else []
        sources = "\n\n".join(case.contexts)
        question = f"Answer from these sources.\n\n{sources}\n\n{case.question}" if sources else case.question
        return [*made, {"role": "user", "content": question}]


def _with_answer(case: Case, answer: object) -> Case:
    if isinstance(answer, Case):
        return answer
    if isinstance(answer, str):
        return replace(case, answer=answer)
    if isinstance(answer, dict):
        values = cast("dict[str, Any]", answer)
        contexts = tuple(values.get("contexts") or case.contexts)
        return replace(case, answer=str(values.get("answer") or ""), contexts=contexts)
    raise TypeError(f"a target returns text, a case, or answer and contexts; not {type(answer).__name__}")
