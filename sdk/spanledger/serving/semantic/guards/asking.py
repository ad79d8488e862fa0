"""What kind of answer an English question wants: a time, a place, a reason, a yes or no."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from spanledger.serving.semantic.guards import lexicon
from spanledger.serving.semantic.guards import vocabulary as words
from spanledger.serving.semantic.guards.token import Token

_MEASURES = {
    "far": "distance", "tall": "height", "high": "height", "heavy": "weight", "old": "age", "long": "duration",
    "expensive": "price", "wide": "width", "big": "size", "large": "size", "often": "frequency", "deep": "depth",
    "fast": "speed", "hot": "temperature", "cold": "temperature", "loud": "loudness", "many": "count",
    "much": "amount", "frequently": "frequency", "likely": "likelihood", "strong": "strength", "thick": "thickness",
    "soon": "time", "late": "lateness", "early": "earliness", "few": "count", "quickly": "speed",
}  # fmt: skip
_NOUNS = {
    "distance": "distance", "height": "height", "weight": "weight", "age": "age", "duration": "duration",
    "width": "width", "size": "size", "frequency": "frequency", "depth": "depth", "speed": "speed",
    "temperature": "temperature", "price": "price", "cost": "price", "number": "count", "amount": "amount",
    "quantity": "amount", "length": "duration", "worth": "price", "value": "price", "travel": "speed", "move": "speed",
}  # fmt: skip
_TIMES = words.of("date deadline birthday day hour year month week schedule timing time century decade")
_PLACES = words.of("location place address whereabouts spot venue")
_REASONS = words.of("reason cause explanation")
_MANNERS = words.of(
    "way step steps method procedure instruction instructions process approach tutorial formula treatment cure remedy"
)
# A thing that is a quantity itself: "how high is the limit" is "what is the limit".
_QUANTITIES = words.of(
    "limit rate gdp price cost salary fee population allowance tax interest charge revenue "
    "budget percentage dose dosage capacity temperature balance share deductible rent wage "
    "mileage latency bonus premium deposit difference gap distance fine penalty toll discount "
    "score grade debt turnover output yield"
)
_YES_NO = re.compile(
    r"^(?:so |and |but |please |hi |hello |hey )*(is|are|am|was|were|do|does|did|can|could|will|would|should|shall|"
    r"must|may|might|has|have|had)\b(?! (?:you|u) (?:please )?(?:tell|give|show|explain|help|describe|recommend|"
    r"suggest|list|write|summari[sz]e|translate|compare|define|provide|calculate|find|create|make|name|know|"
    r"teach|convert|generate|draft|compose|repeat|read|recite)\b)(?! (?:i|we) (?:get|have|know|ask|see) "
    r"(?:some|a list|more|what|how|why|where|when|who))"
)
_POSSIBLE = re.compile(r"\bis (it|there) (possible|allowed|permitted|ok|okay|legal|any way|a way)\b")
_HAVE_TO = re.compile(
    r"\b(must|have to|has to|needs?|required?|obliged|mandatory|compulsory|obligatory|necessary)\b"
)
_MAY = re.compile(r"\b(can|could|may|possible|allowed|able|permitted)\b")
_DETECT = re.compile(
    r"\bhow (do|does|can|could|to|would|should|will)\b.*\b(know|tell|detect|recogni[sz]e|notice) (if|whether|that)\b"
)
_PAST = re.compile(r"\b(was|were|did|used to)\b")
_PERFECT = re.compile(r"^(has|have) (?!to\b)")
_PRESENT = re.compile(r"\b(is|are|do|does|am)\b")
_FUTURE = re.compile(r"\b(will|going to|gonna)\b")
_PERSONS = {
    "i": "1", "me": "1", "my": "1", "mine": "1", "myself": "1", "we": "1", "us": "1", "our": "1", "ours": "1",
    "you": "2", "your": "2", "yours": "2", "yourself": "2", "he": "m", "him": "m", "his": "m", "she": "f",
    "her": "f", "hers": "f", "they": "t", "them": "t", "their": "t",
}  # fmt: skip
_OWNERS = words.of("my our mine your yours his her hers their theirs")


@dataclass(slots=True)
class Asked:
    """What is wanted. ``form``: ``yes_no``, ``manner``, ``state`` ("how is"), ``what`` or empty; ``wants`` more closely."""

    form: str = ""
    wants: frozenset[str] = frozenset()
    nouns: frozenset[str] = frozenset()  # kinds of answers that its nouns stand for
    is_quantity: bool = False
    tense: str = ""
    obliges: bool = False
    subject: str = ""  # "subject" in "who manages Ben", "object" in "whom does Ben manage"
    modal: str = ""  # of a yes or no: "can" or "should"
    owners: frozenset[str] = frozenset()
    genders: frozenset[str] = frozenset()
    case: str = ""  # "subject" where I do it, "object" where it is done to me
    persons: list[str] = field(default_factory=list[str])


def of(low: str, tokens: list[Token]) -> Asked:
    """Read it from the text in small letters and its tokens."""
    asked = Asked()
    wants = set(_wants(tokens))
    if _DETECT.search(low):
        wants.add("sign")
    asked.nouns = frozenset(_nouns(tokens))
    asked.form = _form(low, tokens, wants)
    asked.wants = frozenset(wants)
    asked.is_quantity = any(t.kind in ("number", "unit") or t.key in _QUANTITIES for t in tokens)
    asked.tense = _tense(low)
    asked.subject = _subject(tokens)
    asked.obliges = bool(_HAVE_TO.search(low)) and asked.form == "yes_no"
    asked.modal = _modal(tokens) if asked.form == "yes_no" else ""
    asked.genders = frozenset(_PERSONS[t.low] for t in tokens if t.low in _PERSONS) & {"m", "f"}
    asked.case = _case(tokens)
    asked.owners = frozenset(_PERSONS[t.low] for t in tokens if t.low in _OWNERS)
    if asked.form == "yes_no" or "not" in low:
        asked.persons = [_PERSONS[t.low] for t in tokens if t.low in _PERSONS and t.low not in _OWNERS]
    return asked


def conflict(one: Asked, two: Asked) -> str:
    """Why two questions want different answers; empty if they do not."""
    both_yes_no = one.form == two.form == "yes_no"
    if _wants_conflict(one, two) or _wants_conflict(two, one):
        return "asking"
    if {one.form, two.form} in _APART:
        return "asking"
    if any(x.form == "yes_no" and not y.form and y.wants for x, y in ((one, two), (two, one))):
        return "asking"
    if both_yes_no and one.modal and two.modal and one.modal != two.modal:
        return "asking"
    if _tenses_differ(one.tense, two.tense, both_yes_no):
        return "tense"
    if {one.subject, two.subject} == {"subject", "object"}:
        return "asking"
    if both_yes_no and one.obliges != two.obliges:
        return "asking"
    return "person" if _persons_differ(one, two) else ""


def _persons_differ(one: Asked, two: Asked) -> bool:
    """Mine or yours, his or hers, by me or to me."""
    for ours, theirs in ((one.owners, two.owners), (one.genders, two.genders)):
        if ours and theirs and ours != theirs:
            return True
    pair = {tuple(one.persons[:2]), tuple(two.persons[:2])}
    return {one.case, two.case} == {"subject", "object"} or pair == {("1", "2"), ("2", "1")}


def _tenses_differ(one: str, two: str, both_yes_no: bool) -> bool:
    if not one or not two or one == two:
        return False
    if "perfect" in (one, two):
        return "future" in (one, two)
    return "past" in (one, two) or both_yes_no


_APART = ({"yes_no", "manner"}, {"yes_no", "what"}, {"yes_no", "state"}, {"manner", "what"})


def _wants_conflict(one: Asked, two: Asked) -> bool:
    """Whether ``one`` wants something that ``two`` neither wants nor names."""
    strong = one.wants - _LOOSE
    if not strong:
        loose = one.wants - two.wants - two.nouns
        return bool(loose) and bool(two.wants - one.wants - one.nouns)
    missing = strong - two.wants - two.nouns
    if not missing:
        return False
    if not two.wants and not two.form:
        return bool(missing & {"reason", "person", "time", "place"}) and bool(two.nouns)
    if missing <= _SIZES and not two.wants:
        return not (one.is_quantity and two.is_quantity)
    return True


_LOOSE = frozenset({"count", "amount", "price"})
_SIZES = frozenset(_MEASURES.values())


def _wants(tokens: list[Token]) -> list[str]:
    found: list[str] = []
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else None
        match token.low:
            case "why":
                found.append("reason")
            case "when" if _asks(tokens, place):
                found.append("time")
            case "where":
                found.append("place")
            case "who" | "whom" | "whose":
                found.append("person")
            case "how" if following is not None and following.low in _MEASURES:
                following.kind = "function"
                found.append(_MEASURES[following.low])
                found += ["price"] if following.low == "much" else []
            case "what" | "which" if following is not None:
                found += [
                    kind for words, kind in _AFTER_WHAT if following.low in words or following.key in words
                ]
            case _:
                pass
    return found


_AFTER_WHAT = ((_TIMES, "time"), (_PLACES, "place"), (_REASONS, "reason"),
               (frozenset({"person", "people", "man", "woman"}), "person"))  # fmt: skip
_HOW_COPULA = frozenset({"is", "are", "was", "were", "'s"})


def _asks(tokens: list[Token], place: int) -> bool:
    """Whether "when" asks for a time, and does not only name a condition ("when I open it")."""
    following = tokens[place + 1] if place + 1 < len(tokens) else None
    return (
        (place == 0 and following is not None and following.low in _AUXILIARIES)
        or following is None
        or (following.low in _AUXILIARIES and following.low not in ("i", "you"))
    )


_AUXILIARIES = words.of("is are was were do does did can could will would should has have had must may open")


def _nouns(tokens: list[Token]) -> list[str]:
    found: list[str] = []
    for token in tokens:
        if token.kind in ("word", "unit", "date"):
            key = token.key
            if key in _NOUNS:
                found.append(_NOUNS[key])
            found += [
                kind
                for group, kind in ((_TIMES, "time"), (_PLACES, "place"), (_REASONS, "reason"))
                if key in group
            ]
            found += ["person"] if key in _AGENTS else []
            found += ["place"] if key in ("find", "locate") else []
            found += ["duration"] if key in _LASTING else []
    return found


_AGENTS = words.of(
    "owner inventor author founder discoverer director creator president writer leader winner artist actor actress singer "
    "painter composer architect player scientist explorer king queen emperor poet "
    "country team company club nation band person"  # these may win, make or own as a person does
)
_LASTING = words.of("time take last second minute hour")


def _form(low: str, tokens: list[Token], wants: set[str]) -> str:
    if _POSSIBLE.search(low):
        return "manner" if "way" in low.split("is there")[-1].split()[:2] else "yes_no"
    if _YES_NO.search(low):
        return "yes_no"
    lows = [token.low for token in tokens]
    if "differ" in lows or "difference" in lows:
        return "what"
    if wants - _LOOSE:
        return ""
    if "how" in lows:
        after = lows[lows.index("how") + 1 :][:1]
        if after and after[0] in _HOW_COPULA:
            return "state"
        return "" if not after or after[0] in _MEASURES else "manner"
    if "what" in lows or "which" in lows:
        if any(token.key in _MANNERS for token in tokens) or re.search(
            r"\bwhat (can|could|should|do|must|to)\b", low
        ):
            return "manner"
        return "what"
    return ""


def _subject(tokens: list[Token]) -> str:
    """Whether the first question word is who does it, or whom it is done to."""
    for token, following in pairwise(tokens):
        if token.low in ("who", "whom", "what"):
            if following.low in ("do", "does", "did"):
                return "object"
            is_verb = following.kind == "word" and "v" in lexicon.english().kinds(following.key)
            return "subject" if is_verb else ""
    return ""


def _modal(tokens: list[Token]) -> str:
    first = next((token.low for token in tokens if token.low in _MODALS), "")
    return _MODALS.get(first, "")


_MODALS = {"can": "can", "could": "can", "may": "can", "might": "can", "should": "should", "shall": "should",
           "ought": "should"}  # fmt: skip


def _case(tokens: list[Token]) -> str:
    """Whether the asker acts, or is acted on ("can I sue them", "can they sue me"); "tell me" is neither."""
    lows = [token.low for token in tokens]
    acts = any(low in ("i", "we") for low in lows)
    is_acted_on = any(
        low in ("me", "us")
        and place
        and tokens[place - 1].kind == "word"
        and tokens[place - 1].key not in _FOR_ME
        for place, low in enumerate(lows)
    )
    return "" if acts == is_acted_on else "subject" if acts else "object"


_FOR_ME = words.of(
    "tell give show help let send explain teach allow permit enable remind advise assist guide walk make get cost take remember"
)


def _tense(low: str) -> str:
    past, present, future = (bool(kind.search(low)) for kind in (_PAST, _PRESENT, _FUTURE))
    if _PERFECT.search(low):
        return "perfect"
    if past != present and not future:
        return "past" if past else "present"
    return "future" if future and not past else ""


def kinds_of(token: Token) -> frozenset[str]:
    """The kinds of answers that a noun stands for."""
    return frozenset(_nouns([token]))
