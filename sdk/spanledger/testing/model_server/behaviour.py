"""What a stand-in model server is told to do: answers, pace and faults in, one checked value out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_type_hints

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One function call in an answer. ``arguments`` is made JSON on the wire."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. ``finish_reason`` is OpenAI's word; empty means what follows from the content."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""


@dataclass(slots=True, kw_only=True)
class Call:
    """One request as received, and how it ended. ``question`` is the last user message's text."""

    number: int
    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]
    received_ns: int
    model: str = ""
    stream: bool = False
    prompt: str = ""
    question: str = ""
    status: int = 0
    chunks: int = 0  # content chunks sent
    outcome: Literal["open", "ok", "error", "cut", "reset", "timeout", "disconnected"] = "open"


AnswerFunction = Callable[[Call], "str | Answer"]
Answers = str | Mapping[str, str] | AnswerFunction | None
"""A text for all; a table of ``{words in the prompt: text}``, longest match first; or a function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Everything that can be configured; durations are seconds, rates are in [0, 1].

    The defaults are a healthy server that takes any model name and any key.
    """

    flavour: Literal["openai", "vllm"] = "openai"
    models: tuple[str, ...] = ()  # empty: any name is served; otherwise others get a 404
    api_keys: tuple[str, ...] = ()  # empty: no key is asked for; otherwise others get a 401
    context_tokens: int = 131_072

    answer: Answers = None
    wrong_answer: Answers = None
    quality: float = 1.0  # share of calls that get ``answer``; the rest get ``wrong_answer``
    seed: int = 0  # of everything that is drawn
    call_tool: str = ""  # answer with a call of this tool when the request offers it

    latency_s: float = 0.0  # before anything is sent
    first_token_s: float = 0.0  # between a stream's head and its first content chunk
    chunk_s: float = 0.0  # between content chunks
    end_s: float = 0.0  # between a stream's last event and the end of its body
    chunk_tokens: int = 1
    max_running: int = 0  # 0: no limit; otherwise further requests wait, as in a full batch

    error_status: int = 0  # 0: none
    error_rate: float = 1.0  # share of calls that get the error or the fault
    error_times: int = 0  # 0: no limit; otherwise only so many calls fail
    retry_after_s: float | None = None  # the Retry-After header of an error
    fault: Literal["", "reset", "timeout", "malformed", "empty"] = ""
    cut_after_chunks: int | None = None  # end a stream after so many content chunks
    cut: Literal["abrupt", "clean", "error", "stall", "malformed"] = "abrupt"

    usage: bool = True  # False: the answer carries no usage
    stream_usage: bool = True  # False: include_usage is ignored, as llama.cpp does
    cached_tokens: int | None = None  # None: what the simulated prefix cache says (vLLM), else 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0  # added to the answer's own reasoning

    def changed(self, changes: Mapping[str, Any]) -> Behaviour:
        """This behaviour with some fields changed, from JSON or from code.

        Raises:
            ValueError: names the field and what is allowed.
        """
        hints = get_type_hints(Behaviour)
        checked: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in hints:
                raise ValueError(f"there is no setting {name!r}; allowed: {', '.join(sorted(hints))}")
            if callable(value):
                if name not in ANSWER_FIELDS:
                    raise ValueError(f"{name}: a function is allowed only for {', '.join(ANSWER_FIELDS)}")
                checked[name] = value
                continue
            wanted = str | dict[str, str] | None if name in ANSWER_FIELDS else hints[name]
            try:
                checked[name] = msgspec.convert(value, wanted)
            except msgspec.ValidationError as error:
                raise ValueError(f"{name}: {error}") from error
        return replace(self, **checked)

    def as_json(self) -> dict[str, Any]:
        """What the control endpoint shows; a function is shown by its name."""
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: _shown(value) for name, value in shown.items()}


ANSWER_FIELDS = ("answer", "wrong_answer")


def _shown(value: Any) -> Any:
    if callable(value):
        return f"function {getattr(value, '__name__', 'answer')}"
    return value


def call_as_json(call: Call) -> dict[str, Any]:
    """A received call for the control endpoint, without the caller's secrets."""
    shown = asdict(call)
    for secret in ("authorization", "x-api-key"):
        if secret in shown["headers"]:
            shown["headers"][secret] = "(hidden)"
    return shown
