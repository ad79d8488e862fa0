"""A traced application, run by the tests as a process of its own: two functions, one wrapped client."""

from __future__ import annotations

import os
import sys
from typing import Any

from openai import OpenAI
from opentelemetry import trace

import spanledger

client: Any = spanledger.wrap(OpenAI(base_url=os.environ["MODEL_URL"], api_key="any", max_retries=0))


@spanledger.observe(operation="retrieval")
def retrieve(question: str) -> list[str]:
    """Somebody else's instrumentation works inside ours."""
    with trace.get_tracer("other.instrumentation").start_as_current_span("vector search"):
        return ["Paris is the capital of France."]


@spanledger.observe
def answer(question: str) -> str:
    """One question, streamed."""
    spanledger.update(user_id="ada", session_id="s-1", team="e2e-trace", tags=["red"])
    retrieve(question)
    messages = [{"role": "user", "content": question}]
    chunks = client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@spanledger.observe
def failing() -> None:
    """A call that the provider refuses."""
    spanledger.update(team="e2e-trace")
    client.chat.completions.create(model="unknown-model", messages=[{"role": "user", "content": "x"}])


spanledger.init(service="e2e-application")
print(answer("What is the capital of France?"))
try:
    failing()
except Exception as error:  # noqa: BLE001  whatever the client raises passes through unchanged
    print(type(error).__name__)
sys.exit(0 if spanledger.flush(5) else 1)
