"""Messages of every provider and instrumentation read alike; nothing raises, and what is normal stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spanledger.messages import normalise, normalise_json, parse, question_of, text_of, tool_calls_of

WEATHER = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Rome"}}
IMAGE = "data:image/png;base64,AAAA"


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


@pytest.mark.parametrize(
    ("told", "role", "parts"),
    [
        ("Hi", "user", [text("Hi")]),
        ([{"role": "user", "content": "Hi"}], "user", [text("Hi")]),
        ([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "user", [text("Hi")]),
        ({"messages": [{"role": "user", "content": "Hi"}], "model": "m"}, "user", [text("Hi")]),
        ({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}, "assistant", [text("Hi")]),
        ({"choices": [{"text": "Hi", "index": 0}]}, "user", [text("Hi")]),
        ({"role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}, "assistant", [text("Hi")]),
        ({"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]},
         "assistant", [text("Hi")]),
        ([{"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Rome"}'}], "assistant", [WEATHER]),
        ([{"type": "function_call_output", "call_id": "c1", "output": "sun"}], "tool",
         [{"type": "tool_call_response", "id": "c1", "response": "sun"}]),
        ({"role": "assistant", "content": None,
          "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}]},
         "assistant", [WEATHER]),
        ([{"role": "tool", "tool_call_id": "c1", "content": "sun"}], "tool",
         [{"type": "tool_call_response", "id": "c1", "response": "sun"}]),
        ([{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}], "user",
         [text("Hi"), WEATHER]),
        ([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "sun"}]}]}],
         "user", [{"type": "tool_call_response", "id": "c1", "response": "sun"}]),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]}, "assistant",
         [{"type": "reasoning", "content": "hm"}, text("Hi")]),
        ({"role": "model", "parts": [{"text": "Hi"}, {"functionCall": {"name": "weather", "args": {"city": "Rome"}}}]}, "assistant",
         [text("Hi"), {**WEATHER, "id": None}]),
        ([{"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "weather", "args": {"city": "Rome"}}]}],
         "assistant", [WEATHER]),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}], "user",
         [{"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"}]),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}], "user",
         [{"type": "uri", "modality": "image", "mime_type": None, "uri": "https://x/y.png"}]),
        ({"lc": 1, "id": ["langchain", "HumanMessage"], "kwargs": {"content": "Hi", "type": "human"}}, "user", [text("Hi")]),
        ([{"type": "human", "content": "Hi"}], "user", [text("Hi")]),
        ([{"role": "assistant", "reasoning_content": "hm", "content": "Hi"}], "assistant",
         [{"type": "reasoning", "content": "hm"}, text("Hi")]),
    ],
)  # fmt: skip
def test_every_known_shape_is_read(told: object, role: str, parts: list[dict[str, Any]]) -> None:
    (message,) = normalise(told)
    assert (message["role"], message["parts"]) == (role, parts)


def test_system_of_a_request_leads_its_messages() -> None:
    told = {"system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}], "model": "m"}
    assert [(m["role"], text_of([m])) for m in normalise(told)] == [("system", "Be brief."), ("user", "Hi")]


def test_answer_keeps_why_it_ended() -> None:
    told = {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "length"}]}
    assert normalise(told)[0]["finish_reason"] == "length"


def test_normal_text_comes_back_unchanged() -> None:
    told = '[{"role": "user",  "parts": [{"type": "text", "content": "Hi"}], "x": 1}]'
    assert normalise_json(told) == told


@pytest.mark.parametrize(
    ("told", "role"), [("plain words", "assistant"), ("12", "user"), ("true", "user"), ("{broken", "user")]
)
def test_text_that_is_no_json_object_is_a_message(told: str, role: str) -> None:
    assert json.loads(normalise_json(told, role)) == [{"role": role, "parts": [text(told)]}]


def test_helpers_read_question_answer_and_calls() -> None:
    told = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "First?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "now?"}]},
    ]  # fmt: skip
    messages = parse(json.dumps(told))
    assert question_of(messages) == "And\n\nnow?"
    assert text_of(messages, roles=["system"]) == "Be brief."
    assert tool_calls_of(messages) == [WEATHER]
    assert parse("") == []
    assert question_of([]) == ""


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["role", "content", "parts", "type", "text", "message", "messages", "choices", "tool_calls", "function", "name",
                 "arguments", "input", "output", "kwargs", "lc", "id", "system", "image_url", "source", "functionCall", "summary"]
            ),
            st.one_of(inner, st.sampled_from(["text", "tool_use", "image", "reasoning", "function_call", "tool", "user", "blob"])),
            max_size=5,
        ),
    ),
    max_leaves=25,
)  # fmt: skip


@example([{"type": []}])
@example([{"role": [], "content": "x"}])
@given(JSON)
def test_strange_input_never_raises_and_becomes_messages(told: object) -> None:
    found = normalise_json(json.dumps(told))
    messages = parse(found)
    assert normalise_json(found) == found, "normal once is normal for good"
    assert isinstance(text_of(messages) + question_of(messages), str)
    assert isinstance(tool_calls_of(messages), list)
    for message in messages:
        assert isinstance(message["role"], str)
        assert all(isinstance(part, dict) for part in message["parts"])
