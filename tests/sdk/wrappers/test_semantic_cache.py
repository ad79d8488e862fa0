"""A wrapped client's semantic cache: closed without a certificate, served with one, recorded as in the gateway."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

import spanledger
from spanledger.serving.semantic import CLOSED, Certificate, embedder, group
from spanledger.testing.capture import CapturedSpans, capture
from spanledger.testing.model_server import ModelServer
from spanledger.wrappers import meaning

ASKED, AGAIN, OTHER = (
    "How do I reset my password?",
    "How can I reset my password?",
    "How do I reset my username?",
)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(answer="Press the button.") as running:
        yield running


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture() as captured:
        yield captured


@pytest.fixture
def certificate(monkeypatch: pytest.MonkeyPatch) -> list[Certificate]:
    """What stands in Redis, in a list of one."""
    told = [CLOSED]
    monkeypatch.setattr(meaning, "certificate_of", lambda _route, _settings: told[0])  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    return told


def opened(project: str) -> Certificate:
    return Certificate(state="open", threshold=0.9, group=group(project, "faq", "minilm-int8"))


def ask(client: openai.OpenAI, question: str, **more: Any) -> str:
    create: Any = client.chat.completions.create
    return (
        create(model="m", messages=[{"role": "user", "content": question}], **more).choices[0].message.content
    )


def test_without_a_certificate_nothing_is_served_and_the_candidate_is_recorded(
    server: ModelServer, spans: CapturedSpans, certificate: list[Certificate]
) -> None:
    with openai.OpenAI(base_url=server.base_url, api_key="any") as plain:
        client = spanledger.wrap(plain, cache=spanledger.SemanticCache(), route="faq")
        for question in (ASKED, AGAIN, ASKED):
            assert ask(client, question) == "Press the button."
    assert len(server.calls) == 2
    assert [span.attributes["spanledger.cache"] for span in spans] == ["miss", "miss", "exact"]
    told = spans[1].attributes
    assert told["spanledger.cache.candidate_span"] == spans[0].span_id
    assert float(str(told["spanledger.cache.candidate_similarity"])) > 0.9


def test_a_certificate_opens_the_tier_and_guards_stay(
    server: ModelServer, spans: CapturedSpans, certificate: list[Certificate]
) -> None:
    with openai.OpenAI(base_url=server.base_url, api_key="any") as plain:
        client = spanledger.wrap(plain, cache=spanledger.SemanticCache(), route="faq")
        ask(client, ASKED)
        project = "default"
        certificate[0] = opened(project)
        assert ask(client, AGAIN) == "Press the button."
        ask(client, OTHER)
        certificate[0] = replace(opened(project), group="another")
        ask(client, "How could I reset my password?")
    assert [span.attributes["spanledger.cache"] for span in spans] == ["miss", "semantic", "miss", "miss"]
    assert spans[1].attributes["spanledger.cache.entry"]
    assert len(server.calls) == 3


@pytest.mark.anyio
async def test_async_clients_do_alike(
    server: ModelServer, spans: CapturedSpans, certificate: list[Certificate]
) -> None:
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="any") as plain:
        client = spanledger.wrap(plain, cache=spanledger.SemanticCache(), route="faq")
        create: Any = client.chat.completions.create
        await create(model="m", messages=[{"role": "user", "content": ASKED}])
        certificate[0] = opened("default")
        again = await create(model="m", messages=[{"role": "user", "content": AGAIN}])
    assert again.choices[0].message.content == "Press the button."
    assert [span.attributes["spanledger.cache"] for span in spans] == ["miss", "semantic"]


def test_without_the_libraries_the_exact_tier_works_and_says_why(
    server: ModelServer,
    spans: CapturedSpans,
    certificate: list[Certificate],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def absent(_name: str) -> embedder.Embedder:
        raise embedder.EmbedderError("install spanledger[cache]")

    monkeypatch.setattr(meaning, "local", absent)
    with openai.OpenAI(base_url=server.base_url, api_key="any") as plain:
        client = spanledger.wrap(plain, cache=spanledger.SemanticCache(), route="faq")
        with caplog.at_level(logging.WARNING, "spanledger"):
            for question in (ASKED, ASKED, AGAIN):
                ask(client, question)
    assert [span.attributes["spanledger.cache"] for span in spans] == ["miss", "exact", "miss"]
    assert [record.getMessage() for record in caplog.records] == [
        "The semantic cache is off, the exact cache works: install spanledger[cache]"
    ]


def test_personal_questions_are_not_kept(
    server: ModelServer, spans: CapturedSpans, certificate: list[Certificate]
) -> None:
    with openai.OpenAI(base_url=server.base_url, api_key="any") as plain:
        client = spanledger.wrap(plain, cache=spanledger.SemanticCache(), route="faq")
        for _ in range(2):
            ask(client, "My name is Ann. Am I a member?")
    assert len(server.calls) == 2
