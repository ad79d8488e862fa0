"""Two readings in; which guard keeps them apart out. One function a guard, strictest and cheapest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from spanledger.serving.semantic.guards import asking, lexicon, order
from spanledger.serving.semantic.guards import vocabulary as words
from spanledger.serving.semantic.guards.reading import Reading, is_light, is_soft, read
from spanledger.serving.semantic.guards.token import Token


def check(one: str, two: str) -> str:
    """The guard that refuses to answer one question with the other's answer; empty if none does."""
    a, b = read(one), read(two)
    if a.plain == b.plain and a.language == b.language and _same_signs(a, b):
        return ""
    for name, differs in GUARDS:
        if differs(a, b):
            return name
    return ""


def _same_signs(a: Reading, b: Reading) -> bool:
    return a.keys("code") == b.keys("code") and a.keys("number") == b.keys("number")


def language_differs(a: Reading, b: Reading) -> bool:
    """Another script or language; or a language that cannot be read here, in other words."""
    if a.script != b.script or a.language != b.language:
        return True
    return not a.language and a.plain != b.plain


def numbers_differ(a: Reading, b: Reading) -> bool:
    """Another number, or the same in another order ("5 minus 3", "3 minus 5")."""
    return a.keys("number") != b.keys("number")


def units_differ(a: Reading, b: Reading) -> bool:
    """Another unit or currency."""
    return Counter(a.keys("unit")) != Counter(b.keys("unit"))


def dates_differ(a: Reading, b: Reading) -> bool:
    """Another day, month or period."""
    return Counter(a.keys("date")) != Counter(b.keys("date"))


def negation_differs(a: Reading, b: Reading) -> bool:
    """One denies what the other does not."""
    return len(a.keys("negator")) != len(b.keys("negator"))


def identifiers_differ(a: Reading, b: Reading) -> bool:
    """Another function, flag, operator, path or code number."""
    return Counter(a.keys("code")) != Counter(b.keys("code"))


def quantifiers_differ(a: Reading, b: Reading) -> bool:
    """All or some, before or after, at least or at most, in or out."""
    return set(a.keys("weighty")) != set(b.keys("weighty"))


def asking_differs(a: Reading, b: Reading) -> bool:
    """Another kind of answer is wanted."""
    if a.language != "en":
        return _asks(a) != _asks(b)
    return bool(asking.conflict(a.asked, b.asked))


def _asks(reading: Reading) -> set[str]:
    return {words.ASKS[token.low] for token in reading.tokens if token.low in words.ASKS}


def names_differ(a: Reading, b: Reading) -> bool:
    """A name that the other question does not have."""
    return bool(_missing_names(a, b) or _missing_names(b, a))


def wording_differs(a: Reading, b: Reading) -> bool:
    """Something is spoken of that the other question does not speak of."""
    left, right = _unmatched(a, b)
    hard_left, hard_right = _hard(left, a, b), _hard(right, b, a)
    if hard_left and hard_right:
        return True
    if not all(_is_category(token, a) for token in hard_left):
        return True
    if not all(_is_category(token, b) for token in hard_right):
        return True
    light_left, light_right = _light(left), _light(right)
    return bool(light_left and light_right) and not _interchangeable(light_left, light_right)


Guard = Callable[[Reading, Reading], bool]
GUARDS: tuple[tuple[str, Guard], ...] = (
    ("language", language_differs),
    ("number", numbers_differ),
    ("code", identifiers_differ),
    ("unit", units_differ),
    ("date", dates_differ),
    ("negation", negation_differs),
    ("quantifier", quantifiers_differ),
    ("entity", names_differ),
    ("asking", asking_differs),
    ("wording", wording_differs),
    ("order", order.differs),
)
"""Every guard by the name that counters and spans call it."""


def _missing_names(a: Reading, b: Reading) -> list[Token]:
    theirs = [token for token in b.tokens if token.kind in ("name", "word", "code")]
    keys = {key for other in theirs for key in (other.key, other.low)}
    return [
        token
        for token in a.tokens
        if token.kind == "name"
        and token.key not in keys
        and not any(_is_same_name(token, other) for other in theirs)
    ]


def _is_same_name(token: Token, other: Token) -> bool:
    """European and Europe: derived words and known short forms, and nothing else that is merely alike."""
    if lexicon.english().is_listed(token.key, other.key):
        return True
    if len(token.key) < 5 or token.key[:3] != other.key[:3]:
        return False
    return (other.kind == "word" and lexicon.base(token.key) == other.key) or lexicon.alike(
        token.key, other.key
    )


def _content(reading: Reading) -> list[Token]:
    return [token for token in reading.tokens if token.kind in ("word", "name")]


def _unmatched(a: Reading, b: Reading) -> tuple[list[Token], list[Token]]:
    """What of each question has no counterpart in the other."""
    left, right = _content(a), _content(b)
    left, right = _without_compounds(left, b), _without_compounds(right, a)
    asks_who = "person" in a.asked.wants | b.asked.wants
    for same in (_same_key, _joined, _same_meaning if asks_who else _same_deed):
        left, right = _without_pairs(left, right, same, a.language)
    return left, right


def _without_compounds(tokens: list[Token], other: Reading) -> list[Token]:
    """What the other question writes in two words, or in one ("user name", "username"), is the same."""
    whole = {token.low for token in other.tokens}
    pairs = {one.low + two.low for one, two in pairwise(other.tokens)}
    joined = {
        place
        for one, two in pairwise(tokens)
        if two.place == one.place + 1 and one.low + two.low in whole
        for place in (one.place, two.place)
    }
    return [token for token in tokens if token.low not in pairs and token.place not in joined]


def _without_pairs(
    left: list[Token], right: list[Token], same: Callable[[Token, Token, str], bool], language: str
) -> tuple[list[Token], list[Token]]:
    """Repeated words count once: what matched may match again."""
    kept_left = [one for one in left if not any(same(one, two, language) for two in right)]
    kept_right = [two for two in right if not any(same(one, two, language) for one in left)]
    return kept_left, kept_right


def _same_key(one: Token, two: Token, language: str) -> bool:
    return one.key == two.key or one.low == two.low


def _joined(one: Token, two: Token, language: str) -> bool:
    """A typing error: one letter more, less, other or swapped, in a word that no dictionary has."""
    if language != "en" or "name" in (one.kind, two.kind) or min(len(one.low), len(two.low)) < 5:
        return False
    english = lexicon.english()
    if english.knows(one.low) == english.knows(two.low):
        return False
    return one.low[0] == two.low[0] and _one_edit(one.low, two.low)


def _one_edit(one: str, two: str) -> bool:
    if len(one) == len(two):
        places = [i for i in range(len(one)) if one[i] != two[i]]
        if len(places) == 2 and places[1] == places[0] + 1:
            return one[places[0]] == two[places[1]] and one[places[1]] == two[places[0]]
        return False  # another letter in the same place may well be another word
    short, long = sorted((one, two), key=len)
    if len(long) - len(short) != 1:
        return False
    return any(long[:i] + long[i + 1 :] == short for i in range(1, len(long)))


def _same_meaning(one: Token, two: Token, language: str) -> bool:
    if language != "en":
        return False
    if "name" in (one.kind, two.kind):
        return _is_same_name(one, two)
    return lexicon.alike(one.key, two.key)


def _same_deed(one: Token, two: Token, language: str) -> bool:
    """As `_same_meaning`, where nobody asks who: then a printer is no print."""
    return _same_meaning(one, two, language) and not lexicon.english().is_doer(one.key, two.key)


def _hard(tokens: list[Token], own: Reading, other: Reading) -> list[Token]:
    return [t for t in tokens if not is_soft(t) and not is_light(t) and not _is_implied(t, own, other)]


def _is_implied(token: Token, own: Reading, other: Reading) -> bool:
    """A measure that the other question asks for by its "how" ("how tall", "the height"); a conversion."""
    if token.key in ("convert", "conversion") and len(other.keys("unit")) > 1:
        return True
    wanted = other.asked.wants | (own.asked.wants & other.asked.nouns)
    return bool(asking.kinds_of(token) & wanted)


def _is_category(token: Token, reading: Reading) -> bool:
    """Of what sort the answer is, where the question goes on to say which ("which city is the capital")."""
    place = token.place
    before, after = reading.tokens[place - 1 : place], reading.tokens[place + 1 : place + 3]
    return (
        [t.low for t in before] in (["which"], ["what"])
        and len(after) > 1
        and after[0].low in ("is", "are", "was", "were")
        and after[1].low == "the"
    )


def _light(tokens: list[Token]) -> list[Token]:
    return [token for token in tokens if is_light(token)]


def _interchangeable(left: list[Token], right: list[Token]) -> bool:
    return all(
        any(one.key in group and two.key in group for group in words.LIGHT) for one in left for two in right
    )
