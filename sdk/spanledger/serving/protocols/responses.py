"""OpenAI Responses: bodies and stream events in, the answer they hold out."""

from __future__ import annotations

from spanledger.serving.answers import Answer, EventKind
from spanledger.serving.protocols.values import Json, integer, obj, objects, text
from spanledger.serving.usage import normalise


def read_body(body: Json) -> Answer:
    """The answer in a ``response`` body."""
    answer = Answer(ended=True)
    _final(answer, body)
    for index, item in enumerate(objects(body.get("output"))):
        _item(answer, index, item)
    return answer


def read_event(answer: Answer, event: Json) -> EventKind:
    """Add one stream event to the answer and say what it was."""
    kind = text(event.get("type"))
    if kind.endswith(".delta"):
        return _delta(answer, kind, integer(event.get("output_index")) or 0, event)
    match kind:
        case "response.created" | "response.in_progress":
            response = obj(event.get("response"))
            answer.id, answer.model = text(response.get("id")), text(response.get("model"))
        case "response.output_item.added":
            return _added(answer, integer(event.get("output_index")) or 0, obj(event.get("item")))
        case "response.completed" | "response.incomplete":
            answer.whole = obj(event.get("response"))
            _final(answer, answer.whole)
            answer.ended = True
            return "end"
        case "response.failed":
            _final(answer, obj(event.get("response")))
            answer.error = answer.error or {"message": "the response failed"}
            return "error"
        case "error":
            answer.error = obj(event.get("error")) or {
                "message": text(event.get("message")) or "unknown",
                "code": event.get("code"),
            }
            return "error"
        case _:
            pass
    return "other"


def _final(answer: Answer, response: Json) -> None:
    answer.id = text(response.get("id")) or answer.id
    answer.model = text(response.get("model")) or answer.model
    answer.service_tier = text(response.get("service_tier"))
    answer.usage = normalise(obj(response.get("usage"))) or answer.usage
    searches = sum(item.get("type") == "web_search_call" for item in objects(response.get("output")))
    if searches and answer.usage is not None:
        answer.usage.web_searches = searches  # billed by the piece; its usage does not tell
    if error := obj(response.get("error")):
        answer.error = error
    status = text(response.get("status"))
    reason = text(obj(response.get("incomplete_details")).get("reason"))
    answer.choice().finish_reason = reason or status


def _item(answer: Answer, index: int, item: Json) -> None:
    choice = answer.choice()
    match item.get("type"):
        case "message":
            for part in objects(item.get("content")):
                if part.get("type") == "refusal":
                    choice.refusal.append(text(part.get("refusal")))
                else:
                    choice.text.append(text(part.get("text")))
        case "function_call":
            _added(answer, index, item)
        case "reasoning":
            choice.reasoning.extend(text(part.get("text")) for part in objects(item.get("summary")))
        case _:
            choice.other = True


def _added(answer: Answer, index: int, item: Json) -> EventKind:
    kind = item.get("type")
    if kind in ("message", "reasoning"):
        return "other"
    if kind != "function_call":
        answer.choice().other = True
        return "content"
    call = answer.choice().tool(index)
    call.id, call.name = text(item.get("call_id")), text(item.get("name"))
    if arguments := text(item.get("arguments")):
        call.arguments.append(arguments)
    return "content"


def _delta(answer: Answer, kind: str, index: int, event: Json) -> EventKind:
    choice, piece = answer.choice(), text(event.get("delta"))
    if kind == "response.output_text.delta":
        choice.text.append(piece)
    elif kind == "response.function_call_arguments.delta":
        choice.tool(index).arguments.append(piece)
    elif kind == "response.refusal.delta":
        choice.refusal.append(piece)
    elif kind.startswith("response.reasoning"):
        choice.reasoning.append(piece)
    else:
        choice.other = True
    return "content"
