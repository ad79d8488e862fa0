"""From a request and a behaviour to what is said: the answers, their pieces and the usage. Pure."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spanledger.testing.model_server.behaviour import Answer, Answers, Behaviour, Call, ToolCall
from spanledger.testing.model_server.jsons import as_list
from spanledger.testing.model_server.tokens import count, pieces

WRONG = (
    "Certainly: this was settled in 1987 by the Ostrava commission, which fixed the figure at 4312 "
    "kilograms and has had its seat beneath the northern lighthouse ever since."
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in disjoint buckets; each protocol adds them up its own way."""

    uncached: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    visible: int
    reasoning: int

    @property
    def prompt(self) -> int:
        """All that was read."""
        return self.uncached + self.cache_read + self.cache_write + self.cache_write_1h

    @property
    def generated(self) -> int:
        """All that was written."""
        return self.visible + self.reasoning


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer, in the pieces it is streamed in."""

    text: str
    chunks: tuple[str, ...]
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str  # stop | length | tool_calls | content_filter


@dataclass(frozen=True, slots=True)
class Reply:
    """All that one request is answered with."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    behaviour: Behaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a protocol read out of a request's body."""

    prompt_tokens: int
    n: int = 1
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    tools: Mapping[str, Any] | None = None  # name -> JSON schema of its arguments
    forced_tool: str | None = None
    schema: Mapping[str, Any] | None = None  # structured output; {} is "any JSON object"


def plan(behaviour: Behaviour, call: Call, ask: Ask, *, cached: int, identity: str) -> Reply:
    """Decide the answers to one call. ``identity`` is the answer's id without its prefix."""
    answers = [_answer(behaviour, call, ask, index) for index in range(ask.n)]
    choices = tuple(_choice(answer, ask, behaviour) for answer in answers)
    reasoning = sum(count(c.reasoning) for c in choices) + behaviour.reasoning_tokens
    return Reply(
        id=identity,
        created=call.received_ns // 1_000_000_000,
        model=call.model,
        choices=choices,
        usage=_usage(behaviour, ask, choices, cached, reasoning),
        behaviour=behaviour,
    )


def _usage(behaviour: Behaviour, ask: Ask, choices: tuple[Choice, ...], cached: int, reasoning: int) -> Usage:
    read = min(cached if behaviour.cached_tokens is None else behaviour.cached_tokens, ask.prompt_tokens)
    write = min(behaviour.cache_write_tokens, ask.prompt_tokens - read)
    write_1h = min(behaviour.cache_write_1h_tokens, ask.prompt_tokens - read - write)
    visible = sum(_visible_tokens(choice) for choice in choices)
    return Usage(ask.prompt_tokens - read - write - write_1h, read, write, write_1h, visible, reasoning)


def _visible_tokens(choice: Choice) -> int:
    calls = sum(count(call.name) + count(json.dumps(dict(call.arguments))) for call in choice.tool_calls)
    return count(choice.text) + calls


def _answer(behaviour: Behaviour, call: Call, ask: Ask, index: int) -> Answer:
    drawn = random.Random(f"{behaviour.seed}:{call.number}:{index}").random()
    tool = ask.forced_tool or behaviour.call_tool
    if tool and ask.tools and tool in ask.tools:
        return Answer(tool_calls=(ToolCall(name=tool, arguments=example(ask.tools[tool])),))
    if drawn >= behaviour.quality:
        return _found(behaviour.wrong_answer, call) or Answer(text=WRONG)
    found = _found(behaviour.answer, call)
    if found is not None:
        return found
    text = f"In short: {' '.join(call.question.split())[:400]}" if call.question else "Hello."
    if ask.schema is not None:
        text = json.dumps(example(ask.schema) if ask.schema else {"answer": text})
    return Answer(text=text)


def _found(answers: Answers, call: Call) -> Answer | None:
    if answers is None:
        return None
    if isinstance(answers, str):
        return Answer(text=answers)
    if callable(answers):
        said = answers(call)
        return Answer(text=said) if isinstance(said, str) else said
    found = [words for words in answers if words in call.prompt]
    return Answer(text=answers[max(found, key=len)]) if found else None


def _choice(answer: Answer, ask: Ask, behaviour: Behaviour) -> Choice:
    text, finish = answer.text, answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")
    for words in ask.stop:
        text = text.split(words, 1)[0]
    tokens = pieces(text)
    if ask.max_tokens is not None and len(tokens) > ask.max_tokens:
        tokens, finish = tokens[: ask.max_tokens], "length"
    step = max(1, behaviour.chunk_tokens)
    chunks = tuple("".join(tokens[i : i + step]) for i in range(0, len(tokens), step))
    return Choice("".join(tokens), chunks, answer.reasoning, answer.tool_calls, finish)


def example(schema: Mapping[str, Any]) -> Any:
    """A value that a JSON schema admits: the first of every choice, the least of every bound."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return example(_inlined(schema[union][0], schema))
    if "$ref" in schema:
        return example(_inlined(schema, schema))
    return _typed_example(schema)


def _typed_example(schema: Mapping[str, Any]) -> Any:
    kinds = as_list(schema.get("type")) or [schema.get("type", "object")]
    kind = str(kinds[0])
    if kind == "object":
        properties: Mapping[str, Any] = schema.get("properties", {})
        return {name: example(_inlined(sub, schema)) for name, sub in properties.items()}
    if kind == "array":
        item = _inlined(schema.get("items", {"type": "string"}), schema)
        return [example(item) for _ in range(max(1, schema.get("minItems", 1)))]
    scalars = {"integer": int(schema.get("minimum", 1)), "number": float(schema.get("minimum", 1.0))}
    return {**scalars, "boolean": True, "null": None}.get(kind, "text")


def _inlined(schema: Mapping[str, Any], parent: Mapping[str, Any]) -> Mapping[str, Any]:
    """A sub-schema with its reference resolved, and the definitions carried down to it."""
    definitions: Mapping[str, Any] = parent.get("$defs", {})
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found = definitions.get(name, {"type": "string"}) if name else schema
    return {**found, "$defs": definitions} if definitions else found
