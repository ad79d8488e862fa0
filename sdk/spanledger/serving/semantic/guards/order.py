"""Who does what to whom: the same words in other roles ("from A to B", "from B to A")."""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import combinations

from spanledger.serving.semantic.guards import lexicon
from spanledger.serving.semantic.guards.reading import Reading
from spanledger.serving.semantic.guards.token import Token

_ENDS = frozenset(
    frozenset(pair.split())
    for pair in (
        "from to", "from for", "to via", "from via", "by about", "by than", "by like", "about like", "against for",
        "against with", "over under", "behind in", "behind on",
    )
)  # fmt: skip


def differs(a: Reading, b: Reading) -> bool:
    """Whether a shared word has another role in the other question."""
    if _is_rearranged(a, b) or _echoes_differ(a, b):
        return True
    ours, theirs = _places(a, b), _places(b, a)
    shared = [key for key in ours if key in theirs]
    if any(_turned(ours[key][1], theirs[key][1]) for key in shared):
        return True
    # "What does A use" has its object before its subject, as the passive has.
    is_statement = a.asked.form == b.asked.form == "yes_no"
    return any(_swapped(ours, theirs, one, two, is_statement) for one, two in combinations(shared, 2))


def _is_rearranged(a: Reading, b: Reading) -> bool:
    """The very same words in another order say another thing more often than not ("does sleep affect stress").

    A part that moved from one end to the other ("in Python, what does ...") does not.
    """
    if sorted(token.key for token in a.tokens) != sorted(token.key for token in b.tokens):
        return False
    ours, theirs = ([token.key for token in reading.tokens if token.kind not in _FREE] for reading in (a, b))
    if ours == theirs:
        return False
    return len(ours) < 3 or all(ours[at:] + ours[:at] != theirs for at in range(1, len(ours)))


_FREE = ("function", "negator", "number", "date")  # small words, and what other guards hold in order


Places = dict[str, tuple[int, Token]]


def _places(reading: Reading, other: Reading) -> Places:
    """Where each argument stands; what is one in the other question is one here ("cast float to int")."""
    found: Places = {}
    theirs = {token.key for token in _arguments(other)}
    for place, token in enumerate(_arguments(reading, theirs)):
        found[token.key] = (place, token)  # of "which animal is the national animal" the latter
    return found


def _echoes_differ(a: Reading, b: Reading) -> bool:
    """What is named twice ("if A then B, does B imply A") must be named in the same order."""
    ours, theirs = ([t.key for t in _arguments(reading) if t.kind == "name"] for reading in (a, b))
    return len(set(ours)) not in (len(ours), 1) and sorted(ours) == sorted(theirs) and ours != theirs


def _arguments(reading: Reading, also: Container[str] = ()) -> Iterator[Token]:
    """Names, nouns and numbers: what can take the place of another."""
    for token in reading.tokens:
        if _is_predicate(token, reading):
            continue
        if (
            token.kind in ("name", "code", "unit", "number", "date")
            or (token.kind == "word" and token.key in also)
            or _can_take_part(token, reading.language)
        ):
            yield token


def _is_predicate(token: Token, reading: Reading) -> bool:
    """An adjective behind "is" says what the other question may say before its noun ("which is best", "the best")."""
    if token.kind != "word" or reading.language != "en" or lexicon.english().kind(token.key) != "a":
        return False
    return any(before.low in _COPULAS for before in reading.tokens[token.place - 1 : token.place])


_COPULAS = frozenset({"is", "are", "was", "were", "be"})


def _can_take_part(token: Token, language: str) -> bool:
    if token.kind != "word":
        return False
    if language != "en":
        return token.is_capital  # German writes its nouns so; of others only names are certain
    kind = lexicon.english().kind(token.key)
    return kind in ("n", "") or bool(token.marker) or (kind == "a" and token.low == token.key)


def _turned(one: Token, two: Token) -> bool:
    """From somewhere, and to it; by somebody, and about them."""
    return frozenset((one.marker, two.marker)) in _ENDS


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
