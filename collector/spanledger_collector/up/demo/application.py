"""A small application as a newcomer would write it: a question in, an answer with its sources out.

Nothing in it knows that it is a demo: the client is OpenAI's own, pointed at the gateway.
"""

from __future__ import annotations

from typing import Any

from openai import OpenAI
from opentelemetry import propagate

import spanledger

from .cases import DemoCase
from .documents import EMBEDDING
from .story import Ask

INSTRUCTIONS = "Answer the question from these passages only, and say so if they do not hold the answer.\n\n"


class Application:
    """Questions answered from passages, each as one trace."""

    def __init__(self, gateway_url: str, keys: dict[str, str]) -> None:
        self._clients = {
            team: OpenAI(base_url=gateway_url, api_key=key, max_retries=0, timeout=30)
            for team, key in keys.items()
        }

    def answer(self, asked: Ask, case: DemoCase) -> str:
        """One user's question, answered.

        Raises:
            openai.APIError: the gateway refused, or nobody could answer.
        """
        question = f"{case.question} (for report {asked.report})" if asked.report else case.question
        return self._answered(question, asked, case)

    @spanledger.observe(name="answer_question")
    def _answered(self, question: str, asked: Ask, case: DemoCase) -> str:
        spanledger.update(
            user_id=asked.user,
            session_id=asked.session,
            team=asked.team,
            feature=asked.feature,
            input={"question": question},
        )
        documents = self._retrieve(question, asked, case)
        context = "\n\n".join(str(document["content"]) for document in documents)
        messages: list[Any] = [
            {"role": "system", "content": INSTRUCTIONS + context},
            {"role": "user", "content": question},
        ]
        return self._complete(asked, messages)

    @spanledger.observe(name="retrieve", operation="retrieval", record_arguments=False, record_result=False)
    def _retrieve(self, question: str, asked: Ask, case: DemoCase) -> list[dict[str, object]]:
        if asked.embed:
            client = self._clients[asked.team]
            client.embeddings.create(model=EMBEDDING, input=question, extra_headers=_headers(asked))
        documents: list[dict[str, object]] = [
            {"id": f"{asked.case}-{rank}", "content": passage, "score": round(1 / (rank + 1), 3)}
            for rank, passage in enumerate(case.passages)
        ]
        spanledger.update(input={"query": question}, documents=documents)
        return documents

    def _complete(self, asked: Ask, messages: list[Any]) -> str:
        create: Any = self._clients[asked.team].chat.completions.create
        ask: dict[str, Any] = {"model": asked.route, "messages": messages, "extra_headers": _headers(asked)}
        if not asked.stream:
            return create(**ask).choices[0].message.content or ""
        chunks = create(**ask, stream=True, stream_options={"include_usage": True})
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    def close(self) -> None:
        """Close the clients' connections."""
        for client in self._clients.values():
            client.close()


def _headers(asked: Ask) -> dict[str, str]:
    headers = {
        "x-spanledger-user": asked.user,
        "x-spanledger-session": asked.session,
        "x-spanledger-feature": asked.feature,
    }
    propagate.inject(headers)  # traceparent: the gateway's spans join this trace
    return headers
