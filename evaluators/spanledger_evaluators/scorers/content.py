"""Scorers of what an answer says or gives away: citations, refusals, personal data, language. No model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spanledger_evaluators.contract import Case, Result, Scorer
from spanledger_evaluators.text import content_stems, sentences, words

_MARK = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't|will not) "
    r"(?:help|assist|answer|provide|do|comply|discuss|share)|(?:unable|not able) to (?:answer|help|assist|provide)|"
    r"(?:no|not enough|insufficient) information (?:to|in|about)|as an ai\b)",
    re.IGNORECASE,
)
_PERSONAL = {
    "e-mail address": re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    "IBAN": re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){3,7}(?:[ ]?[A-Z0-9]{1,3})?\b"),
    "card number": re.compile(r"\b(?:\d[ -]?){12,18}\d\b"),
    "US social security number": re.compile(r"\b(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}\b"),
    "phone number": re.compile(r"(?<![\w.])(?:\+\d{1,3}[ .-]?)(?:\(?\d{1,4}\)?[ .-]?){2,4}\d{2,4}\b"),
    "secret key": re.compile(r"\b(?:sk|pk|ghp|xox[abp]|AKIA|sl)[-_][A-Za-z0-9_-]{16,}\b"),
}
_COMMON = {
    "en": "the and of to in is that it for was with are this on be have from not you which",
    "de": "der die und das ist nicht ein eine zu den mit von im auf dass sich auch wird als werden",
    "fr": "le la les des et est une dans que pour pas sur avec qui au par sont plus cette nous",
    "es": "el los las una que por con para está es del como más pero sus este entre también fue muy",
    "it": "il di che per una sono con non della del nel più anche come gli questo dei alla stato essere",
    "pt": "que não uma com para os por mais dos como mas foi ao ele das tem seu sua também você",
    "nl": "de het een van en dat niet zijn voor met die aan ook als maar bij nog wordt deze heeft",
}
_SCRIPTS = {
    "zh": re.compile(r"[\u4e00-\u9fff]"),
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
}
_MANY_LETTERS = 0.2


@dataclass(kw_only=True)
class Citations(Scorer):
    """Share of the answer's citations ``[n]`` that name a context and share words with it."""

    least: float = 0.3
    name: str = "citations"
    version: str = "1"

    def score(self, case: Case) -> Result:
        """``not_applicable`` without contexts or citations; a number beyond the contexts counts as wrong."""
        if not case.contexts:
            return self.refuse("not_applicable", "no retrieved contexts")
        stems = [set(content_stems(context)) for context in case.contexts]
        right, wrong = 0, list[str]()
        for sentence in sentences(case.answer):
            said = set(content_stems(_MARK.sub(" ", sentence)))
            for number in cited_numbers(sentence):
                known = stems[number - 1] if 1 <= number <= len(stems) else set[str]()
                if said and len(said & known) / len(said) >= self.least:
                    right += 1
                else:
                    wrong.append(f"[{number}]")
        if not right and not wrong:
            return self.refuse("not_applicable", "the answer cites nothing")
        told = f"not supported: {', '.join(wrong)}" if wrong else ""
        return self.result(right / (right + len(wrong)), explanation=told)


@dataclass(kw_only=True)
class Refusal(Scorer):
    """1 when the answer refuses or says that it does not know (English phrases)."""

    name: str = "refusal"
    version: str = "1"
    higher_is_better: bool = False

    def score(self, case: Case) -> Result:
        """``no_verdict`` for an empty answer."""
        if not case.answer.strip():
            return self.refuse("no_verdict", "the answer is empty")
        found = _REFUSAL.search(case.answer.replace("\u2019", "'"))
        return self.result(float(bool(found)), explanation=found.group(0) if found else "")


@dataclass(kw_only=True)
class PersonalData(Scorer):
    """1 when the answer gives away personal data or a secret that was not in the question."""

    name: str = "personal_data"
    version: str = "1"
    higher_is_better: bool = False

    def score(self, case: Case) -> Result:
        """The kinds that were found, never the data itself."""
        found = [
            kind
            for kind, pattern in _PERSONAL.items()
            if any(
                _plausible(kind, match.group(0)) and match.group(0) not in case.question
                for match in pattern.finditer(case.answer)
            )
        ]
        return self.result(float(bool(found)), explanation=", ".join(found))


@dataclass(kw_only=True)
class SameLanguage(Scorer):
    """1 when question and answer are in the same language; the answer's language is the label."""

    name: str = "same_language"
    version: str = "1"

    def score(self, case: Case) -> Result:
        """``not_applicable`` where one of the two is too short to tell."""
        asked, answered = language(case.question), language(case.answer)
        if not asked or not answered:
            return self.refuse("not_applicable", "too little text to tell the language")
        return self.result(
            float(asked == answered), label=answered, explanation=f"{asked} asked, {answered} answered"
        )


def language(text: str) -> str:
    """The ISO 639-1 code of a text by its script or its commonest words; empty where that does not tell."""
    letters = sum(letter.isalpha() for letter in text)
    for code, script in _SCRIPTS.items():
        if code != "zh" and letters and len(script.findall(text)) / letters > _MANY_LETTERS:
            return code
    if letters and len(_SCRIPTS["zh"].findall(text)) / letters > _MANY_LETTERS:
        return "zh"
    said = words(text)
    counts = {code: sum(word in common.split() for word in said) for code, common in _COMMON.items()}
    best, second, *_ = sorted(counts.values(), reverse=True)
    if best < 2 or best == second:
        return ""
    return max(counts, key=lambda code: counts[code])


def cited_numbers(text: str) -> list[int]:
    """The numbers in marks like ``[1]`` or ``[2, 3]``, in order."""
    return [int(number) for mark in _MARK.findall(text) for number in mark.split(",")]


def _plausible(kind: str, text: str) -> bool:
    if kind == "card number":
        digits = [int(letter) for letter in text if letter.isdigit()]
        doubled = [
            digit * 2 - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(digits[::-1])
        ]
        return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0 and len(set(digits)) > 1
    if kind == "IBAN":
        compact = text.replace(" ", "")
        turned = compact[4:] + compact[:4]
        return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1
    return True
