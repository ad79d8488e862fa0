"""What a project's rules name is gone before anything is stored, however it was written, and is counted."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger.redaction import DETECTORS, label
from spanledger_collector.ingest.redact import Rule, json_text
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.privacy import Redaction
from tests.otlp import SpanData, chat

from .conftest import Pipeline, record

SECRET = "sk-proj-abcdefghijklmnop1234"
SAID = f"mail ann@example.org or use\n{SECRET}"


def rule(**document: Any) -> Rule:
    return Rule(Redaction.model_validate(document), {"KEY": "k1"})


def row(**columns: Any) -> dict[str, Any]:
    messages = [{"role": "user", "parts": [{"type": "text", "content": SAID}]}]
    return {"project": "p", "duration_ns": 1, "input": json.dumps(messages), **columns}


def test_findings_are_replaced_by_their_name() -> None:
    cleaned = row()
    assert rule(detectors=["secrets", "email"]).apply(cleaned) == 2
    (message,) = json.loads(cleaned["input"])
    assert message["parts"][0]["content"] == "mail [email] or use\n[secret]"


def test_hash_keeps_equal_findings_equal_and_needs_the_key() -> None:
    hashing = {"detectors": ["email"], "action": "hash", "hash_key_env": "KEY"}
    cleaned = {"input": "ann@example.org, bob@example.org, ann@example.org"}
    assert rule(**hashing).apply(cleaned) == 3
    first, second, third = cleaned["input"].split(", ")
    assert first == third != second
    other = {"input": "ann@example.org"}
    Rule(Redaction.model_validate(hashing), {"KEY": "k2"}).apply(other)
    assert other["input"] != first
    Rule(Redaction.model_validate(hashing), {}).apply(without := {"input": "ann@example.org"})
    assert without["input"] == "[email]", "without a key a hash of a short number could be guessed"


def test_drop_empties_the_field_and_only_that() -> None:
    cleaned = row(output="fine", attributes={"a": "ann@example.org", "b": "fine"}, tags=["ann@example.org"])
    assert rule(detectors=["email"], action="drop").apply(cleaned) == 3
    assert (cleaned["input"], cleaned["output"], cleaned["tags"]) == ("", "fine", [])
    assert cleaned["attributes"] == {"b": "fine"}


def test_input_can_be_dropped_whatever_it_says() -> None:
    cleaned = row(output="kept")
    assert rule(drop_input=True).apply(cleaned) == 1
    assert (cleaned["input"], cleaned["output"]) == ("", "kept")


def test_only_chosen_fields_are_touched() -> None:
    cleaned = row(user_id="ann@example.org")
    assert rule(detectors=["email"], fields=["user_id"]).apply(cleaned) == 1
    assert cleaned["user_id"] == "[email]"
    assert "ann@" in cleaned["input"]


def test_text_is_found_inside_json_inside_json() -> None:
    arguments = json.dumps({"note": f"line\n{SECRET}", "card": 4111111111111111})
    cleaned = row(output=json.dumps([{"tool_calls": [{"arguments": arguments}]}]))
    assert (
        rule(detectors=["secrets", "card"], patterns=[{"name": "note", "regex": "^note$"}]).apply(cleaned)
        == 4
    )
    (message,) = json.loads(cleaned["output"])
    assert json.loads(message["tool_calls"][0]["arguments"]) == {"[note]": "line\n[secret]", "card": "[card]"}


def test_own_patterns_are_found_between_any_letters() -> None:
    cleaned = {"input": "Fall 12-3456, naïve 🎉 98-7654"}
    assert rule(patterns=[{"name": "case no.", "regex": r"\d{2}-\d{4}"}]).apply(cleaned) == 2
    assert cleaned["input"] == "Fall [case no.], naïve 🎉 [case no.]"


def test_lone_surrogate_does_not_hide_anything() -> None:
    cleaned = {"input": "\ud800 12-3456"}
    assert rule(patterns=[{"name": "n", "regex": r"\d{2}-\d{4}"}]).apply(cleaned) == 1
    assert "12-3456" not in cleaned["input"]


@pytest.mark.parametrize("regex", ["(a+)+$", "(a|a)*b", "(.*a){25}", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_of_a_project_takes_more_than_linear_time(regex: str) -> None:
    begun = time.process_time()
    rule(patterns=[{"name": "evil", "regex": f"{regex}x"}]).apply({"input": "a" * 200_000 + "!"})
    assert time.process_time() - begun < 20


SIZE = 200_000
EVIL = {
    "blanks": "password" + " " * SIZE, "equal signs": "password = " * (SIZE // 11), "one long host": "a@" + "a" * SIZE,
    "dots": "x@" + "a." * (SIZE // 2), "digits": "1 " * (SIZE // 2), "iban": "DE12 " * (SIZE // 5),
    "tokens": "eyJaaaaaaaaaa." * (SIZE // 14), "keys": "-----BEGIN PRIVATE KEY-----" * (SIZE // 27),
    "plus": "a+" * (SIZE // 2) + "@", "brackets": "(1234) " * (SIZE // 7), "auth": "authorization" + " " * SIZE + ":",
}  # fmt: skip


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_no_text_makes_a_detector_slow(detector: str, text: str) -> None:
    begun = time.process_time()
    DETECTORS[detector](text, label)
    assert time.process_time() - begun < 20, "quadratic time would take hours"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON, st.text(max_size=5), st.integers(0, 3))
def test_a_secret_anywhere_in_json_is_gone_and_the_rest_stays(told: Any, around: str, wrapped: int) -> None:
    value: Any = {"told": told, "said": f"{around} {SECRET} {around}"}
    for _ in range(wrapped):
        value = {"inner": json.dumps(value)}
    cleaned, found = json_text(
        json.dumps(value), lambda text: (text.replace(SECRET, "-"), text.count(SECRET))
    )
    assert found == 1
    assert SECRET not in cleaned
    value = json.loads(cleaned)
    for _ in range(wrapped):
        value = json.loads(value["inner"])
    assert value["told"] == told


@pytest.mark.clickhouse
def test_rules_act_before_anything_is_stored_and_are_counted(pipeline: Pipeline) -> None:
    put(pipeline, "p", "mail", detectors=["email"])
    put(pipeline, "*", "keys", detectors=["secrets"])
    for project in ("p", "q"):
        pipeline.send(SpanData(attributes=chat(gen_ai__input__messages=said()), name="call"), project=project)
    pipeline.store_all()
    rows = pipeline.rows("SELECT project, input, redactions FROM spans ORDER BY project")
    assert [row["redactions"] for row in rows] == [2, 1]
    assert "ann@" not in rows[0]["input"]
    assert "ann@" in rows[1]["input"], "a rule of one project is no rule of another"
    assert all(SECRET not in row["input"] for row in rows), "a rule of all projects holds in each"
    assert pipeline.metrics.redacted._value.get() == 3  # pyright: ignore[reportPrivateUsage]


@pytest.mark.clickhouse
def test_what_the_sdk_replaced_is_counted_with_what_is_replaced_here(pipeline: Pipeline) -> None:
    put(pipeline, "p", "mail", detectors=["email"])
    told = chat(gen_ai__input__messages=said(), spanledger__redactions=4)
    pipeline.send(SpanData(attributes=told))
    pipeline.store_all()
    (stored,) = pipeline.rows("SELECT redactions FROM spans")
    assert stored["redactions"] == 5


@pytest.mark.clickhouse
def test_change_of_rules_acts_within_two_seconds(pipeline: Pipeline) -> None:
    pipeline.send(SpanData(attributes=chat(gen_ai__input__messages=said())))
    pipeline.store_all()
    put(pipeline, "p", "mail", detectors=["email"])
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        time.sleep(0.1)
    pipeline.send(SpanData(attributes=chat(gen_ai__input__messages=said()), name="later"))
    pipeline.store_all()
    (later,) = pipeline.rows("SELECT input FROM spans WHERE name = 'later'")
    assert "[email]" in later["input"]


@pytest.mark.clickhouse
def test_explanation_of_a_score_is_redacted_too(pipeline: Pipeline) -> None:
    put(pipeline, "p", "mail", detectors=["email"])
    told = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.explanation": "ann@example.org is cross"}
    pipeline.send(SpanData(attributes=chat(), events=[("gen_ai.evaluation.result", told)]))
    pipeline.store_all()
    (score,) = pipeline.rows("SELECT explanation FROM scores")
    assert score["explanation"] == "[email] is cross"


@pytest.mark.clickhouse
def test_what_cannot_be_read_leaves_no_words_where_a_project_redacts(pipeline: Pipeline) -> None:
    put(pipeline, "p", "mail", detectors=["email"])
    for project in ("p", "q"):
        pipeline.spool.append(record(b"\xff\xff ann@example.org", project)).result(5)
    pipeline.store_all()
    letters = pipeline.rows("SELECT project, message, payload FROM dead_letters ORDER BY project")
    assert [bytes.fromhex(letter["payload"])[3:] for letter in letters] == [b"", b"ann@example.org"]
    assert "withheld" in letters[0]["message"]


@pytest.mark.clickhouse
def test_rules_nobody_can_read_let_no_content_through(pipeline: Pipeline) -> None:
    pipeline.store.client.insert(
        "registry",
        [["p", "redaction", "old", 1, '{"of": "an older version"}', False, "ann", time.time_ns(), ""]],
        column_names=["project", "kind", "name", "version", "document", "deleted", "author", "time", "note"],
    )
    pipeline.send(SpanData(attributes=chat(gen_ai__input__messages=said(), my__note="x")))
    pipeline.store_all()
    (stored,) = pipeline.rows("SELECT input, output, attributes, input_tokens FROM spans")
    assert (stored["input"], stored["output"], stored["attributes"]) == ("", "", {})
    assert stored["input_tokens"], "what it cost is no content"


def said() -> str:
    return json.dumps([{"role": "user", "content": SAID}])


def put(pipeline: Pipeline, project: str, name: str, **document: Any) -> None:
    pipeline.registry.put(project, Draft(kind="redaction", name=name, document=document), "ann")
