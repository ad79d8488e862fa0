"""A word in; its base form and the words that mean the same out.

The list ``words.txt.gz`` is made of WordNet 3.0 by ``tools/word_lexicon.py``; ``synonyms.txt`` adds what people
who ask for help use alike and WordNet does not know. Both are read once, when the first question is compared.
"""

from __future__ import annotations

import gzip
from functools import cache, lru_cache
from importlib.resources import files

_HERE = "spanledger.serving.semantic.guards"
# A person to whom something is done, and a state, are no paraphrase of the deed or the person: employer, employee; ownership.
_APART = ("ee", "ees", "ship", "ships")
_AGENTS = ("er", "or", "ist", "ian", "ant")
_SPELLINGS = (
    ("isation", "ization"),
    ("ising", "izing"),
    ("ised", "ized"),
    ("ise", "ize"),
    ("yse", "yze"),
    ("our", "or"),
    ("ourite", "orite"),
    ("etre", "eter"),
    ("itre", "iter"),
    ("entre", "enter"),
    ("eatre", "eater"),
    ("ibre", "iber"),
    ("ogue", "og"),
    ("ence", "ense"),
    ("amme", "am"),
    ("lment", "llment"),
    ("aero", "air"),
)


class Lexicon:
    """English words: parts of speech, irregular forms, synonyms and derived words."""

    def __init__(self, text: str, groups: str) -> None:
        self._irregular: dict[str, str] = {}
        self._rows: dict[str, str] = {}
        for line in text.splitlines():
            word, _, rest = line.partition("\t")
            if word[0] == "=":
                self._irregular.setdefault(word[1:], rest)
            else:
                self._rows[word] = rest
        self._groups: dict[str, frozenset[str]] = {}
        self._different: set[frozenset[str]] = set()
        for line in groups.splitlines():
            if line[:1] == "!":
                self._different |= {frozenset((line.split()[1], other)) for other in line.split()[2:]}
            elif line and line[0] != "#":
                group = frozenset(line.split())
                for word in group:
                    self._groups[word] = self._groups.get(word, frozenset()) | group

    def knows(self, word: str) -> bool:
        """Whether it is an English word of the list."""
        return word in self._rows or word in self._irregular

    def kind(self, word: str) -> str:
        """Its commonest part of speech (n, v, a, r); empty if unknown."""
        return self._rows.get(word, "").partition("\t")[0][:1]

    def kinds(self, word: str) -> str:
        """All its parts of speech."""
        return self._rows.get(word, "").partition("\t")[0]

    def base(self, word: str) -> str:
        """The base form: singular, infinitive, positive; American spelling."""
        return self._spelled(self._base(word))

    def is_listed(self, one: str, two: str) -> bool:
        """Whether the synonyms that are our own name both."""
        return two in self._groups.get(one, ())

    def alike(self, one: str, two: str) -> bool:
        """Whether two base forms mean the same in a common sense, or are derived from each other."""
        if one == two or two in self._groups.get(one, ()):
            return True
        if frozenset((one, two)) in self._different:
            return False
        return two in self._near(one) or one in self._near(two)

    def is_doer(self, one: str, two: str) -> bool:
        """Whether one is derived from the other and only one of them names who does it: print, printer."""
        if one.endswith(_AGENTS) == two.endswith(_AGENTS) or two in self._groups.get(one, ()):
            return False
        return two not in self._synonyms(one) and one not in self._synonyms(two)

    def _synonyms(self, word: str) -> list[str]:
        return self._rows.get(word, "").partition("\t")[2].partition("\t")[0].split()

    def _near(self, word: str) -> list[str]:
        _, _, rest = self._rows.get(word, "").partition("\t")
        synonyms, _, derived = rest.partition("\t")
        if word.endswith(_APART):
            return synonyms.split()
        return synonyms.split() + [other for other in derived.split() if not other.endswith(_APART)]

    def _spelled(self, word: str) -> str:
        if len(word) < 5:
            return word
        for british, american in _SPELLINGS:
            if british == "aero" and word.startswith(british):
                changed = "air" + word[4:]
            elif word.endswith(british):
                changed = word[: -len(british)] + american
            else:
                continue
            if changed in self._rows:
                return changed
        return word

    def _base(self, word: str) -> str:
        if (known := self._irregular.get(word)) is not None:
            return known
        if word in self._groups and not (word.endswith("s") and word[:-1] in self._groups):
            return word
        if word.endswith(("er", "est")) and (positive := self._positive(word)):
            return positive
        if word in self._rows and not (word.endswith("s") and word[:-1] in self._rows):
            return self._bare(word) if word.endswith(("ing", "ed")) else word
        for suffix, ending in _SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= 2:
                stem = word[: -len(suffix)] + ending
                if stem in self._rows:
                    return stem
                if suffix in _DOUBLING and len(stem) > 2 and stem[-1] == stem[-2] and stem[:-1] in self._rows:
                    return stem[:-1]
        if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
            return word[:-1]
        return word

    def _positive(self, word: str) -> str:
        """Old of older and oldest; empty for other words that end so."""
        stem = word.removesuffix("est").removesuffix("er")
        plain = (stem, stem + "e", stem[:-1] if stem[-1:] == stem[-2:-1] else stem, stem[:-1] + "y")
        return next(
            (w for w in plain if self.kind(w) in ("a", "r") and self.kind(word) in ("a", "r", "")), ""
        )

    def _bare(self, word: str) -> str:
        """Forms that are words of their own (meeting, allowed) stand with their verb where there is one."""
        for suffix in ("ing", "ed"):
            stem = word.removesuffix(suffix)
            if stem != word and len(stem) > 1:
                for verb in (stem, stem + "e", stem[:-1] if stem[-1] == stem[-2] else stem):
                    if "v" in self._rows.get(verb, "").partition("\t")[0]:
                        return verb
        return word


_SUFFIXES = (
    ("ies", "y"),
    ("ied", "y"),
    ("ier", "y"),
    ("iest", "y"),
    ("es", "e"),
    ("s", ""),
    ("es", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ed", "e"),
    ("ed", ""),
    ("est", "e"),
    ("est", ""),
    ("er", "e"),
    ("er", ""),
)
_DOUBLING = frozenset({"ing", "ed", "er", "est"})


@cache
def english() -> Lexicon:
    """The list, read when it is first needed (about 0.1 s)."""
    here = files(_HERE)
    words = gzip.decompress(here.joinpath("words.txt.gz").read_bytes()).decode()
    return Lexicon(words, here.joinpath("synonyms.txt").read_text("utf-8"))


@lru_cache(maxsize=65536)
def base(word: str) -> str:
    """The base form of an English word."""
    return english().base(word)


@lru_cache(maxsize=65536)
def alike(one: str, two: str) -> bool:
    """Whether two base forms mean the same."""
    return english().alike(one, two)
