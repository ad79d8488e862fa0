"""A request in; what of it is a question that others may have asked in other words, and its partition, out.

The question is the text of the last user turn. Everything else of the request is the partition: two requests
whose partitions differ in anything never see each other's answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from spanledger.serving.asks import Ask
from spanledger.serving.caching import DELIVERY
from spanledger.serving.protocols.values import Json, text
from spanledger.serving.snapshot import Route, SemanticRule

_TEXTS = frozenset({"text", "input_text"})
# What makes a question one person's own, so that its answer is nobody else's.
_PERSONAL = re.compile(
    r"[\w.+-]+@[\w-]+\.\w+"  # an address
    r"|\b(?:\d[ -]?){9,18}\d\b"  # telephone, card and account numbers
    r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,}"  # IBAN
    r"|\b\d{3}-\d{2}-\d{4}\b"  # US social security
    r"|(?:^|(?<=[.!?,] ))(?:[Mm]y name is|[Ii]ch hei(?:ß|ss)e|[Jj]e m'appelle|[Mm]e llamo|[Mm]i chiamo)\b"
)


@dataclass(slots=True, frozen=True)
class Question:
    """What may be answered by meaning. ``digest`` names its partition, 32 hex digits."""

    text: str
    digest: str


def partition(
    ask: Ask,
    route: Route,
    rule: SemanticRule,
    *,
    project: str,
    team: str = "",
    user: str = "",
    headers: Mapping[str, str] | None = None,
) -> Question | str:
    """The question and its partition, or why the semantic tier does not take the request.

    Reasons: ``endpoint``, ``choices`` (more than one asked for), ``state`` (depends on a stored conversation),
    ``no_question`` (the last turn is no user's text), ``long``, ``personal``, ``no_user`` (``user_scoped``
    without a user).
    """
    found = _refusal(ask, rule, user)
    if found:
        return found
    asked = _split(ask)
    if asked is None or not (question := " ".join(asked[0].split())):
        return "no_question"
    if len(question.split()) > rule.max_question_tokens or len(question) > 16 * rule.max_question_tokens:
        return "long"
    rest = asked[1]
    if not rule.user_scoped and is_personal(question, rest, user):
        return "personal"
    given = headers or {}
    scope = (
        project,
        team,
        ask.endpoint,
        ask.model,
        sorted((t.upstream, t.model, t.role) for t in route.targets),
        user if rule.user_scoped else "",
        rule.embedder,
        [given.get(name, "") for name in VARIANTS],
    )
    canonical = orjson.dumps([scope, rest], option=orjson.OPT_SORT_KEYS)
    return Question(question, hashlib.blake2b(canonical, digest_size=16).hexdigest())


VARIANTS = ("anthropic-beta", "x-spanledger-prompt", "x-spanledger-corpus")
"""Request headers that change which answer is right: a beta of the API, the prompt's and the corpus' version."""


def is_personal(question: str, rest: Json | None = None, user: str = "") -> bool:
    """Whether a question, or what stands before it, tells of one person (an address, a number, a name)."""
    if _PERSONAL.search(question):
        return True
    return len(user) >= 4 and (user in question or (rest is not None and user.encode() in orjson.dumps(rest)))


def last_question(ask: Ask) -> str:
    """The last user turn's text; empty where there is none."""
    turns = _turns(ask) if ask.endpoint != "embeddings" else ""
    if isinstance(turns, str):
        return turns
    taken = _last_user(turns)
    return taken[1] if taken is not None else ""


def _refusal(ask: Ask, rule: SemanticRule, user: str) -> str:
    if ask.endpoint == "embeddings":
        return "endpoint"
    if ask.n > 1:
        return "choices"
    if ask.body.get("previous_response_id") or ask.body.get("conversation") or ask.body.get("background"):
        return "state"
    return "no_user" if rule.user_scoped and not user else ""


def _split(ask: Ask) -> tuple[str, Json] | None:
    """The last user turn's text, and the body without it; None where the last turn is another's."""
    name = "input" if ask.endpoint == "responses" else "messages"
    turns = _turns(ask)
    rest = {key: value for key, value in ask.body.items() if key not in DELIVERY and key != name}
    if isinstance(turns, str):
        return turns, {**rest, name: ""}
    taken = _last_user(turns)
    if taken is None:
        return None
    last, words, others = taken
    return words, {**rest, name: [*turns[:-1], {**last, "content": others}]}


def _turns(ask: Ask) -> str | list[Any]:
    """What was said, in turns or as one text; empty where it is neither."""
    turns: object = ask.body.get("input" if ask.endpoint == "responses" else "messages")
    return cast("str | list[Any]", turns) if isinstance(turns, (str, list)) else []


def _last_user(turns: list[Any]) -> tuple[Json, str, Sequence[Any]] | None:
    """The last turn, its text and its other parts; None where it is not a user's."""
    last: Any = turns[-1] if turns else None
    if not isinstance(last, dict) or cast(Json, last).get("role") != "user":
        return None
    taken = _take(cast(Json, last).get("content"))
    return None if taken is None else (cast(Json, last), *taken)


def _take(content: object) -> tuple[str, Sequence[Any]] | None:
    """A turn's text, and its other parts (images stay in the partition)."""
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list):
        return None
    words: list[str] = []
    others: list[Any] = []
    for part in cast(list[Any], content):
        fields: Json = cast(Json, part) if isinstance(part, dict) else {}
        if fields.get("type") in _TEXTS:
            words.append(text(fields.get("text")))
            if more := {key: value for key, value in fields.items() if key not in ("type", "text")}:
                others.append(more)
        else:
            others.append(part)
    return "\n".join(words), others
