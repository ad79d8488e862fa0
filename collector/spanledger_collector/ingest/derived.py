"""Facts of one span in; the columns that follow from more than one of them out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from spanledger.records import USAGE
from spanledger.serving.usage import Usage

from . import content, values
from .attributes import Value, text
from .dialects import TABLE
from .facts import Facts
from .rows import MODEL_OPERATIONS, Row

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "vertexai": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
    "mistralai": "mistral_ai",
}
_PARAMETERS = ("temperature", "top_p", "max_tokens", "seed", "service_tier")


def set_provider(row: Row, dialect: str) -> None:
    """The provider's one name."""
    provider = str(row.get("provider", "")).lower()
    if dialect == "vercel_ai":
        provider = provider.partition(".")[0]  # openai.chat, anthropic.messages
    elif dialect == "vllm" and not provider:
        provider = "vllm"
    if provider:
        row["provider"] = _PROVIDERS.get(provider, provider)


def set_from_json(told: Facts) -> None:
    """What a JSON attribute says of parameters and cost."""
    facts = told.facts
    if "parameters" in facts:
        parameters = values.parsed(facts["parameters"])
        if isinstance(parameters, dict):
            for name in _PARAMETERS:
                told.set(name, cast(dict[str, Value], parameters).get(name))
    if "cost.details" in facts:
        details = values.parsed(facts["cost.details"])
        if isinstance(details, dict):
            told.set("cost_reported", cast(dict[str, Value], details).get("total"))


def set_operation(facts: dict[str, Value], row: Row, usage: Usage | None) -> None:
    """gen_ai.operation.name, where the span did not say it: from another vocabulary's kind, or from its usage."""
    if row.get("operation"):
        return
    kind = facts.get("kind_of_operation")
    if kind is not None:
        operation = TABLE.operation(text(kind))
    elif usage is not None and (row.get("request_model") or row.get("response_model")):
        operation = "chat"  # tokens of a model and no other word: a model call
    else:
        return
    if operation:
        row["operation"] = operation


_DURATIONS = {
    "seconds.ttft": ("ttft_ns", values.seconds),
    "milliseconds.ttft": ("ttft_ns", values.milliseconds),
    "seconds.queue": ("queue_ns", values.seconds),
    "seconds.prefill": ("prefill_ns", values.seconds),
    "seconds.decode": ("decode_ns", values.seconds),
}


def set_durations(facts: dict[str, Value], row: Row) -> None:
    """Durations in nanoseconds, told in any unit or as a moment."""
    for name, (column, read) in _DURATIONS.items():
        if name in facts and (found := read(facts[name])) is not None:
            row[column] = found
    first = facts.get("time.first_token")
    if first is not None and "ttft_ns" not in row:
        moment = _instant(str(values.parsed(first)))
        if moment is not None and moment >= row["start_time"]:
            row["ttft_ns"] = moment - row["start_time"]


def _instant(iso: str) -> int | None:
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000) * 1000


def set_usage(usage: Usage | None, row: Row) -> None:
    """The token buckets that are known."""
    if usage is None:
        return
    for column in USAGE:
        count = getattr(usage, column)
        if count is not None:
            row[column] = count


def set_content(facts: dict[str, Value], groups: content.Groups, row: Row) -> None:
    """Prompt, answer and documents."""
    operation = row.get("operation")
    is_model = operation in MODEL_OPERATIONS
    if found := content.input_text(facts, groups, is_model=is_model):
        row["input"] = found
    if operation == "embeddings":
        return  # vectors are no answer in words
    if found := content.output_text(facts, groups, is_model=is_model):
        row["output"] = found
    is_retrieval = operation in ("retrieval", "rerank")
    if is_retrieval or "documents" in facts or "documents" in groups:
        row["documents"] = content.documents(facts, groups, is_retrieval=is_retrieval)


_ANSWER = {"id": "response_id", "model": "response_model", "service_tier": "service_tier"}


def read_raw_answer(told: Facts) -> None:
    """A provider's whole answer, recorded as the result, tells what its attributes leave out."""
    facts = told.facts
    output = facts.get("value.output")
    if not isinstance(output, str) or not output.startswith("{") or '"usage"' not in output:
        return
    parsed = values.parsed(output)
    if not isinstance(parsed, dict):
        return
    answer = cast(dict[str, Value], parsed)
    if not isinstance(answer.get("usage"), dict):
        return
    for name, field in _ANSWER.items():
        if isinstance(answer.get(name), str):
            told.set(field, answer[name])
    if facts.get("usage.details") is not None or "usage.input" not in facts:
        facts["usage.details"] = answer["usage"]


def is_told_by_its_stream(facts: dict[str, Value], row: Row, usage: Usage | None) -> bool:
    """Logfire tells a streamed call twice, in two traces: first without an answer, then as a log with all of it."""
    return (
        facts.get("logfire.span_type") == "span"
        and usage is None
        and row["status"] == "ok"
        and not row.get("output")
    )
