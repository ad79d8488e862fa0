"""An application's calls arrive with all that is known of them, nested, within two seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spanledger.testing.model_server import ModelServer
from tests.e2e.stack import Stack, http

pytestmark = pytest.mark.e2e
APPLICATION = Path(__file__).with_name("application.py")
SPANS = """
    SELECT name, operation, status, error_type, user_id, session_id, team, tags, input, output, input_tokens,
           output_tokens, ttft_ns, duration_ns, cost_total, request_model, service, scope,
           hex(trace_id) AS trace, hex(span_id) AS span, hex(parent_span_id) AS parent
    FROM spans WHERE service = 'e2e-application' AND start_time >= {since:DateTime64(9)} ORDER BY start_time
"""


def test_what_an_application_does_is_stored_within_two_seconds(stack: Stack, primary: ModelServer) -> None:
    primary.set(answer="Paris, of course.", models=["gpt-4o-mini"], first_token_s=0.05)
    environment = {**os.environ, **stack.environment(), "MODEL_URL": primary.base_url}
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    ran = subprocess.run(
        [sys.executable, str(APPLICATION)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    ended = time.monotonic()
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n")[:2] == ["Paris, of course.", "NotFoundError"]
    rows = stack.rows_until(6, SPANS, since=since)
    print(f"visible {time.monotonic() - ended:.1f} s after the application ended")
    by_name = {row["name"]: row for row in rows}
    answer = by_name["answer"]
    call = next(row for row in rows if row["operation"] == "chat" and row["status"] == "ok")

    assert {row["trace"] for row in (answer, call, by_name["vector search"])} == {answer["trace"]}
    assert call["parent"] == answer["span"]
    assert by_name["retrieve"]["parent"] == answer["span"]
    assert by_name["vector search"]["parent"] == by_name["retrieve"]["span"]
    assert by_name["vector search"]["scope"] == "other.instrumentation"

    assert "capital of France" in call["input"]
    assert "Paris, of course." in call["output"]
    assert call["input_tokens"] > 0
    assert call["output_tokens"] > 0
    assert 50_000_000 <= call["ttft_ns"] <= call["duration_ns"]
    assert call["cost_total"] > 0
    assert {row["user_id"] for row in (answer, call)} == {"ada"}
    assert (call["session_id"], call["team"]) == ("s-1", "e2e-trace")

    failed = next(row for row in rows if row["operation"] == "chat" and row["status"] == "error")
    assert failed["request_model"] == "unknown-model"
    assert failed["error_type"]
    assert failed["parent"] == by_name["failing"]["span"]
    assert by_name["failing"]["status"] == "error"


def test_malformed_unauthorised_and_oversized_requests_are_refused_as_the_specification_says(
    stack: Stack,
) -> None:
    url = f"{stack.url('collector')}/v1/traces"
    key = {"authorization": f"Bearer {stack.key}"}
    protobuf = {**key, "content-type": "application/x-protobuf"}
    malformed = http("POST", url, b"\xff\xff\xff not protobuf", protobuf)
    assert malformed.status == 400
    assert malformed.headers["content-type"] == "application/x-protobuf"
    assert http("POST", url, b"{nope", key).status == 400
    for wrong in ({}, {"authorization": "Bearer sl_x_wrong"}):
        assert http("POST", url, b"{}", wrong).status == 401
