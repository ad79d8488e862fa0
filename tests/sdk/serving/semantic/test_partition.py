"""What a question is, and what keeps two requests apart."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from spanledger.serving.asks import Endpoint, parse
from spanledger.serving.semantic import GUARD_VERSION, Question, group, partition
from spanledger.serving.snapshot import Route, SemanticRule, Target

Json = dict[str, Any]
ROUTE = Route(targets=(Target(upstream="openai", model="gpt-4o"),))
RULE = SemanticRule()


def asked(body: Json, endpoint: Endpoint = "chat", **more: Any) -> Question | str:
    given: Json = {"project": "p", "team": "t", **more}
    route, rule = given.pop("route", ROUTE), given.pop("rule", RULE)
    return partition(parse(endpoint, orjson.dumps(body)), route, rule, **given)


def chat(*messages: Json, **fields: Any) -> Json:
    return {"model": "m", "messages": list(messages), **fields}


USER: Json = {"role": "user", "content": "How do I reset my password?"}


def test_the_question_is_the_last_user_turn_in_each_api() -> None:
    system: Json = {"role": "system", "content": "Be brief."}
    parts: Json = {"role": "user", "content": [{"type": "text", "text": "How do I reset my password?"}]}
    inputs: Json = {
        "role": "user",
        "content": [{"type": "input_text", "text": "How do I reset my password?"}],
    }
    found = [
        asked(chat(system, USER)),
        asked(chat(system, parts)),
        asked({"model": "m", "max_tokens": 9, "system": "x", "messages": [USER]}, "messages"),
        asked({"model": "m", "input": "How do I  reset my password?"}, "responses"),
        asked({"model": "m", "input": [inputs]}, "responses"),
    ]
    assert [q.text for q in found if isinstance(q, Question)] == ["How do I reset my password?"] * 5


@pytest.mark.parametrize(
    ("body", "endpoint", "more", "reason"),
    [
        ({"model": "m", "input": "hello"}, "embeddings", {}, "endpoint"),
        (chat(USER, n=2), "chat", {}, "choices"),
        ({"model": "m", "input": "hi", "previous_response_id": "r"}, "responses", {}, "state"),
        (chat(USER, {"role": "assistant", "content": "Open"}), "chat", {}, "no_question"),
        (chat({"role": "user", "content": "word " * 80}), "chat", {}, "long"),
        (chat({"role": "user", "content": "Is ann@example.com a member?"}), "chat", {}, "personal"),
        (chat({"role": "user", "content": "Whose card is 4111 1111 1111 1111?"}), "chat", {}, "personal"),
        (chat({"role": "user", "content": "My name is Ann. What can I do?"}), "chat", {}, "personal"),
        (chat({"role": "system", "content": "You help user-4711."}, USER), "chat", {"user": "user-4711"}, "personal"),
        (chat(USER), "chat", {"rule": SemanticRule(user_scoped=True)}, "no_user"),
    ],
)  # fmt: skip
def test_requests_that_have_no_question_of_everybody_say_why(
    body: Json, endpoint: Endpoint, more: Json, reason: str
) -> None:
    assert asked(body, endpoint, **more) == reason


Change = Callable[[Json, Json, random.Random], None]


def _field(name: str, *values: Any) -> Change:
    def change(body: Json, given: Json, draw: random.Random) -> None:
        body[name] = draw.choice([v for v in values if v != body.get(name)])

    return change


def _given(name: str, *values: Any) -> Change:
    def change(body: Json, given: Json, draw: random.Random) -> None:
        given[name] = draw.choice([v for v in values if v != given.get(name)])

    return change


def _header(name: str, *values: str) -> Change:
    def change(body: Json, given: Json, draw: random.Random) -> None:
        headers = given.setdefault("headers", {})
        headers[name] = draw.choice([v for v in values if v != headers.get(name)])

    return change


def _system(body: Json, given: Json, draw: random.Random) -> None:
    body["messages"][0]["content"] += draw.choice([" ", "!", " You are a pirate.", "\n"])


def _prefix(body: Json, given: Json, draw: random.Random) -> None:
    turn: Json = {"role": draw.choice(["user", "assistant"]), "content": draw.choice(["Hi", "In Spain", ""])}
    body["messages"].insert(draw.randrange(1, len(body["messages"])), turn)


def _image(body: Json, given: Json, draw: random.Random) -> None:
    url = f"data:image/png;base64,{draw.randrange(10**9)}"
    text: str = body["messages"][-1]["content"]
    image: Json = {"type": "image_url", "image_url": {"url": url}}
    body["messages"][-1]["content"] = [{"type": "text", "text": text}, image]


def _tool(name: str) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


CHANGES: dict[str, Change] = {
    "project": _given("project", "p", "q", "default"),
    "team": _given("team", "t", "u", ""),
    "user": _given("user", "ann", "ben", "cleo"),
    "targets": _given(
        "route",
        ROUTE,
        Route(targets=(Target(upstream="openai", model="gpt-5"),)),
        Route(targets=(Target(upstream="azure", model="gpt-4o"),)),
    ),
    "model": _field("model", "m", "m2", "m-2025-01-01"),
    "system prompt": _system,
    "conversation": _prefix,
    "image": _image,
    "temperature": _field("temperature", 0, 0.1, 0.7, 1, None),
    "top_p": _field("top_p", 0.1, 0.9, 1),
    "max_tokens": _field("max_tokens", 10, 100, 1000),
    "max_completion_tokens": _field("max_completion_tokens", 10, 100),
    "seed": _field("seed", 1, 2, 3),
    "stop": _field("stop", "a", ["a", "b"], "\n"),
    "penalty": _field("presence_penalty", 0.5, 1.0),
    "reasoning_effort": _field("reasoning_effort", "low", "high"),
    "tools": _field("tools", [_tool("a")], [_tool("b")], [_tool("a"), _tool("b")], []),
    "tool_choice": _field("tool_choice", "none", "auto", "required"),
    "response_format": _field("response_format", {"type": "json_object"}, {"type": "text"}),
    "logit_bias": _field("logit_bias", {"50256": -100}, {"50256": 100}),
    "unknown field": _field("some_new_field", 1, "1", True, {"a": 1}),
    "prompt version": _header("x-spanledger-prompt", "faq@1", "faq@2", "help@1"),
    "corpus version": _header("x-spanledger-corpus", "2025-01", "2025-02"),
    "beta": _header("anthropic-beta", "context-1m", "tools-2"),
}


def _request(draw: random.Random) -> tuple[Json, Json]:
    body = chat(
        {"role": "system", "content": draw.choice(["Be brief.", "You help customers of a bank.", ""])},
        {"role": "user", "content": draw.choice(["What is a loan?", "Where is my parcel?", "Wo bin ich?"])},
    )
    given: Json = {"project": "p", "team": "t", "user": "ann", "route": ROUTE}
    given["rule"] = replace(RULE, user_scoped=True)
    for name in draw.sample(sorted(CHANGES), draw.randrange(4)):
        if name not in ("image", "user"):
            CHANGES[name](body, given, draw)
    return body, given


def test_ten_thousand_requests_that_differ_in_one_field_have_another_partition() -> None:
    draw = random.Random(20)
    seen: set[str] = set()
    for _ in range(10_000):
        name = draw.choice(sorted(CHANGES))
        body, given = _request(draw)
        other, changed = copy.deepcopy(body), copy.deepcopy(given)
        CHANGES[name](other, changed, draw)
        one, two = asked(body, **given), asked(other, **changed)
        assert isinstance(one, Question)
        assert isinstance(two, Question)
        assert one.text == two.text
        assert one.digest != two.digest, (name, body, other)
        seen.add(name)
    assert seen == set(CHANGES)


def test_delivery_and_another_wording_do_not_change_the_partition() -> None:
    other = chat(
        {"role": "user", "content": "I forgot my password"}, stream=True, user="x", metadata={"a": "b"}
    )
    one, two = asked(chat(USER)), asked(other)
    assert isinstance(one, Question)
    assert isinstance(two, Question)
    assert one.digest == two.digest


def test_users_share_answers_unless_the_route_is_scoped_to_them() -> None:
    one, two = asked(chat(USER), user="ann"), asked(chat(USER), user="ben")
    assert one == two
    assert asked(chat(USER), user="ann", rule=SemanticRule(user_scoped=True)) != one


def test_a_group_is_of_one_project_route_embedder_and_system_prompt() -> None:
    groups = {
        group("p", "r", "minilm-int8"),
        group("q", "r", "minilm-int8"),
        group("p", "s", "minilm-int8"),
        group("p", "r", "openai/e"),
        group("p", "r", "minilm-int8", "hash"),
    }
    assert len(groups) == 5
    assert all(len(name) == 64 for name in groups)
    assert GUARD_VERSION
