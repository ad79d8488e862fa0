"""An unmodified openai client gets its answers through the gateway, priced, cached and from the backup."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import openai
import pytest
from genai_prices import Usage, calc_price

from spanledger.testing.model_server import ModelServer
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e
CALLS = """
    SELECT status, upstream, request_model, input_tokens, output_tokens, cost_total, cost_saved, cache, output, attempt,
           fallback_from, billable, team, error_type, streaming, ttft_ns, usage_estimated
    FROM spans WHERE route = {route:String} AND billable ORDER BY start_time
"""
ANSWERED = CALLS.replace("ORDER BY", "AND status = 'ok' ORDER BY")
STEPS = "SELECT title, message FROM events FINAL WHERE kind = 'budget_step' AND subject = {budget:String}"


def routed(
    stack: Stack, name: str, primary: ModelServer, backup: ModelServer | None = None, **more: Any
) -> None:
    targets: list[dict[str, str]] = [{"upstream": f"{name}-1", "model": more.pop("model", "gpt-4o-mini")}]
    documents = [("upstream", f"{name}-1", {"base_url": primary.base_url, "allow_private": True})]
    if backup is not None:
        targets.append({"upstream": f"{name}-2", "model": "gpt-4o", "role": "fallback"})
        documents.append(("upstream", f"{name}-2", {"base_url": backup.base_url, "allow_private": True}))
    stack.apply(*documents, ("route", name, {"targets": targets, **more}))


def calls(stack: Stack, route: str, count: int) -> list[dict[str, Any]]:
    return stack.rows_until(count, CALLS, route=route)


def ask(client: openai.OpenAI, model: str, question: str, **more: Any) -> Any:
    create: Any = client.chat.completions.create
    return create(model=model, messages=[{"role": "user", "content": question}], **more)


def test_answers_whole_and_streamed_are_recorded_with_their_cost(stack: Stack, primary: ModelServer) -> None:
    primary.set(answer="Forty-two.", cached_tokens=2, reasoning_tokens=3)
    routed(stack, "plain", primary)
    with stack.openai() as client:
        whole = ask(client, "plain", "How much?")
        chunks = list(ask(client, "plain", "How many?", stream=True))
    assert whole.choices[0].message.content == "Forty-two."
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Forty-two."
    assert all(chunk.choices for chunk in chunks), "a usage chunk nobody asked for reached the client"
    rows = calls(stack, "plain", 2)
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert [row["streaming"] for row in rows] == [False, True]
    assert rows[1]["ttft_ns"] > 0
    used = whole.usage
    told = Usage(
        input_tokens=used.prompt_tokens,
        cache_read_tokens=used.prompt_tokens_details.cached_tokens,
        output_tokens=used.completion_tokens,
    )
    expected = calc_price(told, "gpt-4o-mini", provider_id="openai").total_price
    for row in rows:
        assert abs(row["cost_total"] - expected) <= Decimal("2e-9")
        assert "Forty-two." in row["output"]
        assert not row["usage_estimated"]


def test_a_model_without_a_price_has_no_cost(stack: Stack, primary: ModelServer) -> None:
    routed(stack, "unpriced", primary, model="nobody-knows-this-model")
    with stack.openai() as client:
        ask(client, "unpriced", "Hello")
    assert calls(stack, "unpriced", 1)[0]["cost_total"] is None


def test_a_repeat_is_answered_by_the_exact_cache(stack: Stack, primary: ModelServer) -> None:
    routed(stack, "cached", primary, cache={"exact": True, "ttl_s": 600})
    with stack.openai() as client:
        create: Any = client.chat.completions.with_raw_response.create
        question = [{"role": "user", "content": "Again?"}]
        answers = [create(model="cached", messages=question, temperature=0) for _ in range(2)]
        streamed = ask(client, "cached", "Again?", temperature=0, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    assert [answer.headers["x-spanledger-cache"] for answer in answers] == ["miss", "exact"]
    contents = {answer.parse().choices[0].message.content for answer in answers}
    assert len(contents) == 1
    assert text in contents
    assert len(primary.calls) == 1
    rows = calls(stack, "cached", 3)
    assert [row["cache"] for row in rows] == ["miss", "exact", "exact"]
    assert rows[1]["cost_total"] == 0
    assert rows[1]["cost_saved"] == rows[0]["cost_total"] > 0


@pytest.mark.parametrize("failure", [{"error_status": 500}, {"fault": "reset"}, {"error_status": 429}])
@pytest.mark.parametrize("stream", [False, True])
def test_the_backup_answers_when_the_primary_fails(
    stack: Stack, primary: ModelServer, backup: ModelServer, failure: dict[str, Any], stream: bool
) -> None:
    primary.set(**failure)
    backup.set(answer="From the backup.")
    route = f"failing-{stream}-{'-'.join(str(value) for value in failure.values())}"
    routed(stack, route, primary, backup)
    with stack.openai() as client:
        answer = ask(client, route, "Anybody there?", stream=stream)
        if stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
        else:
            text = answer.choices[0].message.content
    assert text == "From the backup."
    (row,) = stack.rows_until(1, ANSWERED, route=route)
    assert row["upstream"] == f"{route}-2"
    assert row["fallback_from"].startswith(f"{route}-1")
    assert len(primary.calls) == 1, "the failing primary was asked again before the backup"


def test_a_budget_is_enforced_and_named(stack: Stack, primary: ModelServer) -> None:
    primary.set(answer="word " * 400)
    routed(stack, "dear", primary, model="gpt-4o")
    budget = {"amount": "0.02", "period": "day", "scope": {"route": "dear"}, "alert_at": [0.5, 1.0]}
    stack.apply(("budget", "dear-daily", budget))
    refused: openai.RateLimitError | None = None
    answered = 0
    with stack.openai() as client:
        for number in range(40):
            try:
                ask(client, "dear", f"Question {number}", max_tokens=500)
                answered += 1
            except openai.RateLimitError as error:
                refused = error
                break
    assert refused is not None
    assert "dear-daily" in str(refused)
    costs = [row["cost_total"] for row in calls(stack, "dear", answered) if row["cost_total"] is not None]
    spent, dearest = sum(costs, Decimal(0)), max(costs)
    # The last call may pass the limit, by less than itself: a budget can be used up whole.
    assert Decimal("0.02") - dearest < spent < Decimal("0.02") + dearest
    events = stack.rows_until(1, STEPS, 20, budget="dear-daily")
    assert any("50" in f"{event['title']} {event['message']}" for event in events)


WRAPPED = """
import openai, spanledger
client = spanledger.wrap(openai.OpenAI(base_url={url!r}, api_key="any", max_retries=0), route="shared", budgets=True)
for number in range(40):
    try:
        client.chat.completions.create(
            model="gpt-4o", messages=[{{"role": "user", "content": f"Question {{number}}"}}], max_tokens=500
        )
    except openai.RateLimitError as refused:
        print(number, refused.body["budget"])
        break
"""


def test_a_wrapped_client_and_the_gateway_share_a_budget(stack: Stack, primary: ModelServer) -> None:
    primary.set(answer="word " * 400, models=["gpt-4o"])
    routed(stack, "shared", primary, model="gpt-4o")
    stack.apply(("budget", "shared-daily", {"amount": "0.02", "period": "day", "scope": {"route": "shared"}}))
    with stack.openai() as client:
        for number in range(2):
            ask(client, "shared", f"Question {number} by the gateway", max_tokens=500)
    environment = {**os.environ, **stack.environment(), "SPANLEDGER_REDIS_URL": stack.redis_url}
    program = WRAPPED.format(url=primary.base_url)
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answered, budget = ran.stdout.split()
    assert budget == "shared-daily"
    assert int(answered) > 0
    costs = [row["cost_total"] for row in stack.rows_until(2 + int(answered), ANSWERED, route="shared")]
    assert len(costs) == 2 + int(answered)
    spent, dearest = sum(costs, Decimal(0)), max(costs)
    assert Decimal("0.02") - dearest < spent < Decimal("0.02") + dearest
    with stack.openai() as client, pytest.raises(openai.RateLimitError, match="shared-daily"):
        ask(client, "shared", "Once more", max_tokens=500)


def test_wrong_keys_and_models_are_refused_as_openai_does(stack: Stack, primary: ModelServer) -> None:
    with stack.openai(key="sl_x_wrong") as client, pytest.raises(openai.AuthenticationError):
        ask(client, "plain", "Hello")
    with stack.openai() as client, pytest.raises(openai.NotFoundError):
        ask(client, "no-such-route", "Hello")
    with stack.openai() as client:
        assert isinstance([model.id for model in client.models.list()], list)
