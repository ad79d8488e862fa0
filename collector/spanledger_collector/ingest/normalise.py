"""Accepted OTLP bytes of one tenant in; rows for ``spans`` and ``scores`` out. No I/O, no price, no verdict on billing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from spanledger.serving.usage import Usage

from . import content, evaluations, slim, values
from .attributes import Value, decode, decode_all, text
from .dialects import TABLE, Rule
from .usage import buckets
from .wire import valid_ids

Row = dict[str, Any]
"""Column to value; a column that is missing holds its default."""

MODEL_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
_KINDS = ("internal", "internal", "server", "client", "producer", "consumer")
_NO_SPAN = bytes(8)
_DAY_NS = 86_400 * 10**9
_MEMO_BYTES, _MEMO_SIZE = 96, 20_000
_OLDEST_NS, _AHEAD_NS = 10 * 366 * _DAY_NS, _DAY_NS

_FAULTS = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError)

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


@dataclass(frozen=True, slots=True)
class Tenancy:
    """Whose spans these are, from the key; ``received_at`` in ns.

    ``trusted``: the key may say for whom it sends, as a gateway does for its callers.
    """

    project: str
    team: str
    key_id: str
    received_at: int
    trusted: bool = False


@dataclass(slots=True)
class Span:
    """One row, and what billing needs beside it. ``told_*`` is what the span says of itself.

    ``clamped``: its start is the time of arrival, so another arrival of it has another start.
    """

    row: Row
    usage: Usage | None
    told_billable: bool | None = None
    told_reason: str = ""
    clamped: bool = False


@dataclass(slots=True)
class Batch:
    """What requests became. ``rejected`` counts spans without valid ids, ``clamped`` times that cannot be meant.

    ``faults`` are spans that could not be read: project, why, and the span's bytes.
    """

    spans: list[Span] = field(default_factory=list[Span])
    scores: list[Row] = field(default_factory=list[Row])
    rejected: int = 0
    clamped: int = 0
    contents: dict[tuple[str, bytes, bytes], dict[str, Value]] = field(
        default_factory=dict[tuple[str, bytes, bytes], dict[str, Value]]
    )
    content_rows: dict[tuple[str, bytes, bytes], Row] = field(
        default_factory=dict[tuple[str, bytes, bytes], Row]
    )
    faults: list[tuple[str, str, bytes]] = field(default_factory=list[tuple[str, str, bytes]])


def normalise(body: bytes, tenancy: Tenancy, into: Batch) -> None:
    """Add every span and score of one inflated request to ``into``.

    Raises:
        google.protobuf.message.DecodeError: the bytes are no trace request.
    """
    for resource in slim.parse(body).resource_spans:
        base = resource_row(decode_all(resource.resource.attributes), tenancy)
        for scope in resource.scope_spans:
            name = scope.scope.name.decode("utf-8", "replace")
            scoped = {**base, "scope": name} if name else base
            for span in scope.spans:
                if not valid_ids(span.trace_id, span.span_id):
                    into.rejected += 1
                    continue
                try:
                    _add(span, scoped, tenancy, into)
                except _FAULTS as fault:  # of ours; the other spans of the request are none the worse for it
                    into.faults.append((tenancy.project, repr(fault), span.SerializeToString()))


_RESOURCE = {
    "service.name": "service",
    "service.version": "service_version",
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
}


def normalise_attributes(attributes: dict[str, Value], row: Row, tenancy: Tenancy) -> dict[str, Value]:
    """Set the columns that these attributes fill; the answer is every fact they tell."""
    facts: dict[str, Value] = {}
    for key, value in attributes.items():
        rule = TABLE.rule(key)
        if rule is not None and rule.field and not rule.path:
            facts.setdefault(rule.field, value)
    _set_columns(facts, row, {})
    _set_tenant(facts, row, tenancy)
    return facts


def resource_row(attributes: dict[str, Value], tenancy: Tenancy) -> Row:
    """The columns that a resource fills, for every span and event of it."""
    row: Row = {"project": tenancy.project, "key_id": tenancy.key_id}
    if tenancy.team:
        row["team"] = tenancy.team
    sdk, version = attributes.pop("telemetry.sdk.name", ""), attributes.pop("telemetry.sdk.version", "")
    if sdk:
        row["sdk"] = f"{text(sdk)}/{text(version)}"
    for name, column in _RESOURCE.items():
        if name in attributes:
            row.setdefault(column, text(attributes.pop(name)))
    for name in ("team", "feature", "customer_id"):  # said once for a whole application
        value = attributes.get(f"spanledger.{name}")
        if value and not row.get(name):
            row[name] = text(value)
    if attributes:
        row["resource"] = {name: text(value) for name, value in attributes.items()}
    return row


def _add(span: slim.Span, base: Row, tenancy: Tenancy, into: Batch) -> None:
    row = _identified(span, base)
    facts: dict[str, Value] = {}
    extra: dict[str, Value] = {}
    groups: content.Groups = {}
    mark = _read_attributes(span.attributes, facts, extra, groups)
    row["dialect"] = dialect = TABLE.dialect(mark, row.get("scope", ""))
    if dialect == "mlflow":
        _unquote(facts)
    if "value.output" in facts:
        _read_raw_answer(facts)
    clamped = not _set_times(span, row, tenancy.received_at)
    if clamped:
        extra["spanledger.original_start_time"] = span.start
        into.clamped += 1
    scores = _read_events(span.events, row, facts) if span.events else []
    _set_columns(facts, row, extra)
    _set_tenant(facts, row, tenancy)
    _set_model(facts, row, dialect)
    usage = buckets(facts)
    _set_operation(facts, row, usage)
    _set_durations(facts, row)
    _set_status(span.status, row)
    _set_usage(usage, row)
    _set_content(facts, groups, row)
    if span.links:
        row["links"] = _links(span.links)
    if extra:
        row["attributes"] = {
            key: value if type(value) is str else text(value) for key, value in extra.items()
        }
    for attributes in scores:
        score = evaluations.score_row(attributes, row, tenancy.received_at)
        if score is not None:
            into.scores.append(score)
    told, reason = values.flag(facts.get("told.billable")), text(facts.get("told.billable_reason"))
    if dialect == "logfire" and _is_told_by_its_stream(facts, row, usage):
        told, reason = False, "told_by_its_stream"
    into.spans.append(Span(row, usage, told, reason, clamped))


def _identified(span: slim.Span, base: Row) -> Row:
    row = dict(base)
    row["trace_id"], row["span_id"] = span.trace_id, span.span_id
    row["name"] = span.name.decode("utf-8", "replace")
    row["kind"] = _KINDS[span.kind] if 0 <= span.kind < 6 else "internal"
    parent = span.parent_span_id
    if len(parent) == 8 and parent != _NO_SPAN:
        row["parent_span_id"] = parent
    return row


def _is_told_by_its_stream(facts: dict[str, Value], row: Row, usage: Usage | None) -> bool:
    """Logfire tells a streamed call twice, in two traces: first without an answer, then as a log with all of it."""
    return (
        facts.get("logfire.span_type") == "span"
        and usage is None
        and row["status"] == "ok"
        and not row.get("output")
    )


_Read = tuple[str, Value, Rule | None]
_memo: dict[bytes, _Read] = {}


def _read(raw: bytes) -> _Read:
    """An attribute with its rule; short ones repeat, so they are remembered with both."""
    key, value = decode(raw)
    found = (key, value, TABLE.rule(key))
    if len(raw) <= _MEMO_BYTES:
        if len(_memo) >= _MEMO_SIZE:
            _memo.clear()
        _memo[raw] = found
    return found


def _read_attributes(
    raws: Sequence[bytes], facts: dict[str, Value], extra: dict[str, Value], groups: content.Groups
) -> int:
    """Sort attributes into facts, parts of lists, and the rest; the answer is the vocabulary's mark."""
    mark, ranks = 0, dict[str, int]()
    remembered = _memo.get
    for raw in raws:
        key, value, rule = remembered(raw) or _read(raw)
        if rule is None:
            extra[key] = value
            continue
        if rule.mark > mark:
            mark = rule.mark
        name = rule.field
        if not name:
            extra[key] = value
        elif rule.path:
            groups.setdefault(name, {})[rule.path] = value
        elif (rank := ranks.get(name)) is None or rule.rank < rank:
            facts[name], ranks[name] = value, rule.rank
        elif value != facts[name]:
            extra[key] = value  # two names for one fact disagree: keep what was not believed
    return mark


def _unquote(facts: dict[str, Value]) -> None:
    """MLflow writes every value as JSON, texts included."""
    for name, value in facts.items():
        if isinstance(value, str) and value.startswith('"'):
            facts[name] = cast(Value, values.parsed(value))


_RAW = {"id": "response_id", "model": "response_model", "service_tier": "service_tier"}


def _read_raw_answer(facts: dict[str, Value]) -> None:
    """A provider's whole answer, recorded as the result, tells what its attributes leave out."""
    told = facts["value.output"]
    if not isinstance(told, str) or not told.startswith("{") or '"usage"' not in told:
        return
    parsed = values.parsed(told)
    if not isinstance(parsed, dict):
        return
    answer = cast(dict[str, Value], parsed)
    if not isinstance(answer.get("usage"), dict):
        return
    for name, fact in _RAW.items():
        if isinstance(answer.get(name), str):
            facts.setdefault(fact, answer[name])
    if facts.get("usage.details") is not None or "usage.input" not in facts:
        facts["usage.details"] = answer["usage"]


def _set_times(span: slim.Span, row: Row, received_at: int) -> bool:
    """Start and duration; a start nobody can mean becomes the time of arrival, and the answer is False."""
    start, end = span.start or span.end, span.end
    sane = received_at - _OLDEST_NS <= start <= received_at + _AHEAD_NS
    row["start_time"] = start if sane else received_at
    row["duration_ns"] = end - start if 0 <= end - start < 1 << 63 else 0
    return sane


def _read_events(events: Sequence[slim.Event], row: Row, facts: dict[str, Value]) -> list[dict[str, Value]]:
    """Take content, errors and first tokens out of events; keep the others; answer with the evaluations."""
    scores: list[dict[str, Value]] = []
    kept: list[tuple[int, str, dict[str, Value]]] = []
    for event in events:
        name = event.name.decode("utf-8", "replace")
        attributes = decode_all(event.attributes)
        if name == evaluations.EVENT:
            scores.append(attributes)
        elif not content.take_event(name, attributes, facts):
            kept.append((event.time, name, attributes))
            if name == "exception":
                facts.setdefault("error_type", attributes.get("exception.type"))
                facts.setdefault("status_message", attributes.get("exception.message"))
            elif name == "First Token Stream Event" and event.time >= row["start_time"]:
                row.setdefault("ttft_ns", event.time - row["start_time"])
    if kept:
        row["events"] = content.events_text(kept)
    return scores


def _set_columns(facts: dict[str, Value], row: Row, extra: dict[str, Value]) -> None:
    """Columns that one attribute fills; a value that does not fit stays readable among the attributes."""
    columns = values.COLUMNS
    for name, value in facts.items():
        read = columns.get(name)
        if read is None or value is None:
            continue
        if type(value) is str and (read is values.string or (read is values.label and len(value) < 256)):
            row[name] = value
            continue
        found = read(value)
        if found is None:
            extra[f"invalid.{name}"] = value
        else:
            row[name] = found


def _set_tenant(facts: dict[str, Value], row: Row, tenancy: Tenancy) -> None:
    """What a payload may not decide, unless its key is trusted to: the project, the key, and a key's own team."""
    told = facts.get("told.project")
    if tenancy.trusted and told:
        row["project"] = text(told)
        return
    row["key_id"] = tenancy.key_id
    if tenancy.team:
        row["team"] = tenancy.team


def _set_model(facts: dict[str, Value], row: Row, dialect: str) -> None:
    """The provider's one name, and what a JSON attribute says of parameters and cost."""
    provider = str(row.get("provider", "")).lower()
    if dialect == "vercel_ai":
        provider = provider.partition(".")[0]  # openai.chat, anthropic.messages
    if dialect == "vllm" and not provider:
        provider = "vllm"
    if provider:
        row["provider"] = _PROVIDERS.get(provider, provider)
    parameters = values.parsed(facts.get("parameters"))
    if isinstance(parameters, dict):
        told = cast(dict[str, Value], parameters)
        for name in ("temperature", "top_p", "max_tokens", "seed", "service_tier"):
            if name not in row and told.get(name) is not None:
                found = values.COLUMNS[name](told[name])
                if found is not None:
                    row[name] = found
    details = values.parsed(facts.get("cost.details"))
    if isinstance(details, dict) and "cost_reported" not in row:
        reported = values.money(cast(dict[str, Value], details).get("total"))
        if reported is not None:
            row["cost_reported"] = reported


def _set_operation(facts: dict[str, Value], row: Row, usage: Usage | None) -> None:
    if row.get("operation"):
        return
    kind = facts.get("kind_of_operation")
    operation = TABLE.operation(text(kind)) if kind is not None else ""
    if (
        not operation
        and kind is None
        and usage is not None
        and (row.get("request_model") or row.get("response_model"))
    ):
        operation = "chat"  # tokens of a model and no other word: a model call
    if operation:
        row["operation"] = operation


_DURATIONS = {
    "seconds.ttft": ("ttft_ns", values.seconds),
    "milliseconds.ttft": ("ttft_ns", values.milliseconds),
    "seconds.queue": ("queue_ns", values.seconds),
    "seconds.prefill": ("prefill_ns", values.seconds),
    "seconds.decode": ("decode_ns", values.seconds),
}


def _set_durations(facts: dict[str, Value], row: Row) -> None:
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


def _set_status(status: slim.Status, row: Row) -> None:
    if "status" not in row:
        row["status"] = "error" if status.code == 2 else "ok"
    if status.message and "status_message" not in row:
        row["status_message"] = status.message.decode("utf-8", "replace")


_USAGE_COLUMNS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "image_units",
)


def _set_usage(usage: Usage | None, row: Row) -> None:
    if usage is None:
        return
    for column in _USAGE_COLUMNS:
        count = getattr(usage, column)
        if count is not None:
            row[column] = count


def _set_content(facts: dict[str, Value], groups: content.Groups, row: Row) -> None:
    operation = row.get("operation")
    if found := content.input_text(facts, groups, is_model=operation in MODEL_OPERATIONS):
        row["input"] = found
    if operation == "embeddings":
        return  # vectors are no answer in words
    if found := content.output_text(facts, groups, is_model=operation in MODEL_OPERATIONS):
        row["output"] = found
    is_retrieval = row.get("operation") in ("retrieval", "rerank")
    if found := content.documents(facts, groups, is_retrieval=is_retrieval):
        row["documents"] = found


def _links(links: Sequence[slim.Link]) -> str:
    found = [
        {
            "trace_id": link.trace_id.hex(),
            "span_id": link.span_id.hex(),
            "attributes": {key: text(value) for key, value in decode_all(link.attributes).items()},
        }
        for link in links
    ]
    return content.dump(found)
