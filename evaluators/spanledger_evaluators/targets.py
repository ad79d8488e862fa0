"""What an experiment puts its questions to: a function, a route or model behind the gateway, or nobody."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import httpx

import spanledger
from spanledger import semconv
from spanledger.prompts import Prompt

from .contract import Case
from .server import Collector

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
    """A function that takes the case, or what it names of it, and returns text, or a case with contexts.

    Parameters named as fields of ``Case`` get these fields (``def answer(question, contexts)``), one parameter of any
    other name the case. Synchronous functions run in threads. Raises TargetError for a function that wants more.
    """
    takes = _takes(function)

    async def ask(case: Case) -> Answered:
        begun = time.monotonic_ns()
        given = {name: case if whole else getattr(case, name) for name, whole in takes.items()}
        if inspect.iscoroutinefunction(function):
            answer = await function(**given)
        else:
            answer = await asyncio.to_thread(function, **given)
        return Answered(case=_with_answer(case, answer), duration_ns=time.monotonic_ns() - begun)

    return ask


def _takes(function: Callable[..., Any]) -> dict[str, bool]:
    """Names of the parameters to give, and whether each is the whole case."""
    known = {field.name for field in fields(Case)}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind in named]
    wanted = [p.name for p in parameters if p.default is p.empty]
    others = [name for name in wanted if name not in known]
    if not parameters or len(others) > 1:
        raise TargetError(
            f"a function takes the case, or fields of it by their names ({', '.join(sorted(known))});"
            f" this one takes {', '.join(wanted) or 'nothing'}"
        )
    if not wanted:
        return {p.name: False for p in parameters if p.name in known} or {parameters[0].name: True}
    return {name: name not in known for name in wanted}


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
    """Asks a route or model of an OpenAI-compatible endpoint, with the contexts as sources where there are any.

    With a ``prompt``, its template is filled in from the case (``question``, ``contexts`` and what stands in the
    metadata) and its config goes along.
    """

    client: httpx.AsyncClient
    base_url: str
    model: str
    key: str = ""
    system: str = ""
    prompt: Prompt | None = None
    experiment: str = ""

    async def __call__(self, case: Case) -> Answered:
        """One chat completion; a refusal is an error of the case, not of the run."""
        begun = time.monotonic_ns()
        try:
            asked = self._messages(case)
        except (KeyError, TypeError) as wrong:
            return Answered(case=case, error=str(wrong.args[0]) if wrong.args else str(wrong))
        headers, config = self._headers(), self.prompt.config if self.prompt else {}
        body = {**config, "model": self.model, "messages": asked}
        response = await self.client.post(f"{self.base_url}/chat/completions", json=body, headers=headers)
        took = time.monotonic_ns() - begun
        trace = response.headers.get(semconv.HEADER_TRACE_ID, "")
        if response.status_code != 200:
            error = f"HTTP {response.status_code}: {response.text[:300]}"
            return Answered(case=case, error=error, duration_ns=took, trace_id=trace)
        text = response.json()["choices"][0]["message"].get("content") or ""
        return Answered(case=replace(case, answer=text), duration_ns=took, trace_id=trace)

    def _headers(self) -> dict[str, str]:
        headers = {
            "authorization": f"Bearer {self.key}" if self.key else "",
            "traceparent": spanledger.traceparent(),
            "x-spanledger-purpose": "eval",
            "x-spanledger-experiment": self.experiment,
            "x-spanledger-prompt": f"{self.prompt.name}@{self.prompt.version}" if self.prompt else "",
        }
        return {name: value for name, value in headers.items() if value}

    def _messages(self, case: Case) -> list[dict[str, Any]]:
        if self.prompt is not None:
            return self.prompt.messages(**_variables(case))
        given = case.metadata.get("messages")
        if isinstance(given, list):
            return cast("list[dict[str, str]]", given)
        made = [{"role": "system", "content": self.system}] if self.system else []
        sources = "\n\n".join(case.contexts)
        question = f"Answer from these sources.\n\n{sources}\n\n{case.question}" if sources else case.question
        return [*made, {"role": "user", "content": question}]


def _variables(case: Case) -> dict[str, object]:
    """What a template may name; a case's own fields win over its metadata."""
    sources = "\n\n".join(case.contexts)
    return {
        **case.metadata,
        "question": case.question,
        "contexts": sources,
        "context": sources,
        "reference": case.reference,
    }


async def prompt_release(collector: Collector, address: str) -> Prompt:
    """The prompt at ``NAME`` (its newest version), ``NAME@VERSION`` or ``NAME@LABEL``.

    Raises:
        TargetError: it has no such label.
        CollectorError: the registry has no such prompt or version, or is away.
    """
    name, _, which = address.partition("@")
    version = int(which) if which.isdecimal() else None
    entry = await collector.document("prompt", name, version)
    if which and version is None:
        labels = cast("dict[str, int]", entry["document"].get("labels") or {})
        if which not in labels:
            raise TargetError(
                f"prompt {name!r} has no label {which!r}; it has: {', '.join(sorted(labels)) or 'none'}"
            )
        entry = await collector.document("prompt", name, labels[which])
    document = entry["document"]
    return Prompt(
        name=name,
        version=int(entry["version"]),
        label=which if version is None else "",
        template=document["template"],
        config=document.get("config") or {},
    )


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
