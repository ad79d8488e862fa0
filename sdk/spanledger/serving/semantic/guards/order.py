"""Who does what to whom: the same words in other roles ("from A to B", "from B to A")."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from spanledger.serving.semantic.guards import lexicon
from spanledger.serving.semantic.guards.reading import Reading
from spanledger.serving.semantic.guards.token import Token

_ENDS = (("from", "to"), ("to", "from"), ("from", "for"), ("for", "from"))


def differs(a: Reading, b: Reading) -> bool:
    """Whether a shared word has another role in the other question."""
    if _echoes_differ(a, b):
        return True
    ours, theirs = _places(a), _places(b)
    shared = [key for key in ours if key in theirs]
    if any(_turned(ours[key][1], theirs[key][1]) for key in shared):
        return True
    # "What does A use" has its object before its subject, as the passive has.
    is_statement = a.asked.form == b.asked.form == "yes_no"
    return any(_swapped(ours, theirs, one, two, is_statement) for one, two in combinations(shared, 2))


Places = dict[str, tuple[int, Token]]


def _places(reading: Reading) -> Places:
    found: Places = {}
    for place, token in enumerate(_arguments(reading)):
        found.setdefault(token.key, (place, token))
    return found


def _echoes_differ(a: Reading, b: Reading) -> bool:
    """What is named twice ("if A then B, does B imply A") must be named in the same order."""
    ours, theirs = ([t.key for t in _arguments(reading) if t.kind == "name"] for reading in (a, b))
    return len(set(ours)) not in (len(ours), 1) and sorted(ours) == sorted(theirs) and ours != theirs


def _arguments(reading: Reading) -> Iterator[Token]:
    """Names, nouns and numbers: what can take the place of another."""
    for token in reading.tokens:
        if token.kind in ("name", "code", "unit", "number", "date") or _can_take_part(
            token, reading.language
        ):
            yield token


def _can_take_part(token: Token, language: str) -> bool:
    if token.kind != "word":
        return False
    if language != "en":
        return token.is_capital  # German writes its nouns so; of others only names are certain
    kind = lexicon.english().kind(token.key)
    return kind in ("n", "") or (kind == "a" and token.low == token.key)


def _turned(one: Token, two: Token) -> bool:
    """From somewhere, and to it."""
    return (one.marker, two.marker) in _ENDS


def _swapped(ours: Places, theirs: Places, one: str, two: str, is_statement: bool) -> bool:
    (p1, x1), (p2, x2) = ours[one], ours[two]
    (q1, y1), (q2, y2) = theirs[one], theirs[two]
    if x1.is_possessor != y1.is_possessor and x2.is_possessor != y2.is_possessor:
        return True
    marks = (x1.marker, x2.marker, y1.marker, y2.marker)
    if marks[0] != marks[1] and marks[0] == marks[3] and marks[1] == marks[2]:
        return True
    is_inverted = (p1 < p2) != (q1 < q2)
    if "by" in marks and marks[0] == marks[2] == "" and {marks[1], marks[3]} == {"", "by"}:
        return is_statement and not is_inverted
    if any(token.kind in ("number", "unit", "date") for token in (x1, x2)):
        return False
    if not is_inverted or any(marks) or _is_compound(x1, x2) or _is_compound(y1, y2):
        return False
    return not (abs(x1.place - x2.place) == 1 and abs(y1.place - y2.place) == 1)


def _is_compound(one: Token, two: Token) -> bool:
    """Words under an "of" or "in" may stand before or behind what they belong to."""
    return bool(one.marker or two.marker)
