"""A recorded call has the partition that it had when it was made, or is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.serving.asks import parse
from spanledger.serving.semantic import Question, Recorded, partition, recorded_question, untold
from spanledger.serving.snapshot import Route, SemanticRule, Target

ROUTE = Route(targets=(Target(upstream="up", model="m"),))
RULE = SemanticRule()


def recorded(body: Mapping[str, Any], headers: Mapping[str, str], team: str = "") -> Recorded:
    """What a gateway's span, normalised by the collector, holds of a chat request."""
    turns = [
        {"role": turn["role"], "parts": [{"type": "text", "content": turn["content"]}]}
        for turn in body["messages"]
    ]
    missing = untold(parse("chat", orjson.dumps(body)), headers)
    return Recorded(
        api="chat",
        fields=json.dumps(missing) if missing else "",
        messages=json.dumps(turns),
        temperature=body.get("temperature"),
        max_tokens=body.get("max_tokens"),
        seed=body.get("seed"),
        prompt=headers.get("x-spanledger-prompt", ""),
        team=team,
    )


WORDS = st.sampled_from(["How do I reset it?", "How can I reset it?", "What is it?"])
REQUESTS = st.fixed_dictionaries(
    {"system": st.sampled_from(["Be brief.", "Be kind."]), "question": WORDS},
    optional={
        "temperature": st.sampled_from([0.0, 0.7]),
        "max_tokens": st.sampled_from([10, 20]),
        "seed": st.sampled_from([1, 2]),
        "user": st.sampled_from(["ann", "ben"]),
        "stream": st.booleans(),
        "tools": st.just([{"type": "function", "function": {"name": "look"}}]),
        "prompt": st.sampled_from(["guide@1", "guide@2"]),
        "corpus": st.sampled_from(["1", "2"]),
        "team": st.sampled_from(["red", "blue"]),
    },
)


def both(request: Mapping[str, Any]) -> tuple[Question | str, Question | str]:
    """The question as it was asked, and as the record tells it."""
    body = {
        "model": "r",
        "messages": [
            {"role": "system", "content": request["system"]},
            {"role": "user", "content": request["question"]},
        ],
        **{name: value for name, value in request.items() if name in ("temperature", "max_tokens", "seed", "user", "stream", "tools")},
    }  # fmt: skip
    headers = {f"x-spanledger-{name}": str(request[name]) for name in ("prompt", "corpus") if name in request}
    team = request.get("team", "")
    live = partition(parse("chat", orjson.dumps(body)), ROUTE, RULE, project="p", team=team, headers=headers)
    kept = recorded_question(recorded(body, headers, team), ROUTE, RULE, project="p", name="r")
    return live, kept


@given(one=REQUESTS, other=REQUESTS)
def test_records_share_a_partition_exactly_where_their_requests_did(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> None:
    (live_one, kept_one), (live_other, kept_other) = both(one), both(other)
    assert isinstance(live_one, Question)
    assert isinstance(live_other, Question)
    for request, kept in ((one, kept_one), (other, kept_other)):
        assert (kept == "fields") is ("tools" in request or "corpus" in request)
    if isinstance(kept_one, Question) and isinstance(kept_other, Question):
        assert (kept_one.digest == kept_other.digest) is (live_one.digest == live_other.digest)
        assert (kept_one.text, kept_other.text) == (live_one.text, live_other.text)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (Recorded(api="", fields="", messages="[]"), "untold"),
        (Recorded(api="embeddings", fields="", messages="[]"), "untold"),
        (Recorded(api="chat", fields='["tools"]', messages="[]"), "fields"),
        (Recorded(api="chat", fields="", messages=""), "unreadable"),
        (Recorded(api="chat", fields="", messages="[]"), "unreadable"),
        (Recorded(api="chat", fields="", messages='["words"]'), "unreadable"),
        (Recorded(api="chat", fields="", messages='[{"role": "user", "content": "no parts"}]'), "unreadable"),
        (Recorded(api="chat", fields="", messages='[{"role": "tool", "parts": []}]'), "no_question"),
        (
            Recorded(
                api="chat",
                fields="",
                messages=json.dumps(
                    [{"role": "user", "parts": [{"type": "text", "content": "Write to ann@example.org"}]}]
                ),
            ),
            "personal",
        ),
    ],
    ids=[
        "nobody told",
        "no questions",
        "fields",
        "no content",
        "no turns",
        "words",
        "old",
        "a tool's",
        "personal",
    ],
)
def test_what_is_left_out_says_why(call: Recorded, why: str) -> None:
    assert recorded_question(call, ROUTE, RULE, project="p", name="r") == why
