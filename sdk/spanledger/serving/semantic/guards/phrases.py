"""Contractions and set phrases in, the one form that the guards know out."""

from __future__ import annotations

import re
import unicodedata

_CONTRACTIONS = (
    (re.compile(r"\b(can|could|do|does|did|is|are|was|were|has|have|had|would|should|must|need|ai|might|dare)n['’]?t\b(?<!want)", re.I), r"\1 not"),
    (re.compile(r"\b(?:can not|cannot|can['’]?t)\b", re.I), "can not"),
    (re.compile(r"\bwon['’]?t\b(?!\w)", re.I), "will not"),
    (re.compile(r"\bshan['’]t\b", re.I), "shall not"),
    (re.compile(r"\blet['’]s\b", re.I), "let us"),
    (re.compile(r"\b(what|where|who|when|how|why|that|there|here|it|he|she)['’]?s\b(?<!its)(?<!hows)(?<!whos)", re.I), r"\1 is"),
    (re.compile(r"\b(i|you|we|they)['’](m|re|ve|ll|d)\b", re.I), r"\1"),
    (re.compile(r"\b(what|who|it|he|she|that)['’](ll|d|re|ve)\b", re.I), r"\1"),
    (re.compile(r"\bo['’]clock\b", re.I), ""),
)  # fmt: skip
_PHRASES = (
    (r"\b(?:per|every|each|a|/) ?(hour|day|week|month|quarter|year)\b|/(month|year|week|day)\b", r"\1\2ly"),
    (r"\bdayly\b", "daily"),
    (r"\bunited states( of america)?\b", "USA"),
    (r"\beuropean union\b", "EU"),
    (r"\bunited nations\b", "UN"),
    (r"\bgross domestic product\b", "GDP"),
    (r"\bartificial intelligence\b", "AI"),
    (r"\bmachine learning\b", "ML"),
    (r"\blarge language models?\b", "LLM"),
    (r"\bhuman resources\b", "HR"),
    (r"\bfrequently asked questions\b", "FAQ"),
    (r"\bpersonal computer\b", "PC"),
    (r"\boperating system\b", "OS"),
    (r"\bchief executive( officer)?\b", "CEO"),
    (r"\bvalue[ -]added tax\b", "VAT"),
    (r"\b(united kingdom|great britain)\b", "UK"),
    (r"\b(nyc|new york city)\b", "New York"),
    (r"\bcapital city\b", "capital"),
    (r"\b(get|getting|be|stay) in touch( with)?\b", "contact"),
    (r"(?<=[\d)])\s*([*+/^×÷])\s*(?=[\d(])", r" \1 "),
    (r"\b(best|easiest|simplest|right|correct|proper|usual|recommended|good) (way|method|approach)\b", "way"),
    (r"\bhow (do|can|should|could|would) (i|we|you|one) best\b", "how \\1 \\2"),
    (r"\btak(e|es|ing) place\b|\btook place\b", "happen"),
    (r"\bhow come\b|\bfor what reason\b", "why"),
    (r"\bin order to\b|\bso as to\b", "to"),
    (r"\bat (the )?least\b|\bno (less|fewer) than\b|\ba minimum of\b", "atleast"),
    (r"\bat (the )?most\b|\bno more than\b|\bup to\b|\ba maximum of\b", "atmost"),
    (r"\bmore than\b(?= (an? )?\d)|\bgreater than\b|\bhigher than\b(?= \d)|\bolder than\b(?= \d)", "over"),
    (r"\b(less|fewer|lower|younger) than\b(?= (an? )?\d)", "under"),
    (r"\bhow many (people|inhabitants|persons)( that)? (live|are living|reside|are there)\b", "what is population"),
    (r"\bper ?cent\b|(?<=\d) ?%", " %unit"),
    (r"\b(money|cash) back\b", "refund"),
    (r"\bright now\b|\bat the moment\b|\bat present\b", "now"),
    (r"\bsign(ed|ing)?[ -](up|on)\b", "register"),
    (r"\b(log|sign)(ged|ging|ed|ing)?[ -](in|into|on)\b(?! (behalf|the))", "login"),
    (r"\b(log|sign)(ged|ging|ed|ing)?[ -](out|off)\b", "logout"),
    (r"\bset(ting)?[ -]up\b", "setup"),
    (r"\bback(ed|ing)?[ -]up\b", "backup"),
    (r"\b(turn|switch)(ed|ing)?( \w+)? on\b", r"switchon\3"),
    (r"\b(turn|switch)(ed|ing)?( \w+)? off\b", r"switchoff\3"),
    (r"\b(in|inside) ?stock\b", "available"),
    (r"\bget(ting)? rid of\b", "remove"),
    (r"\b(as|is) opposed to\b", "versus"),
    (r"\bnext to\b", "near"),
    (r"\b(closest|nearest)\b", "near"),
    (r"\bbesides\b|\bapart from\b|\bother than\b", "except"),
    (r"\bevery ?(one|body)\b", "everyone"),
    (r"\bno ?one\b", "nobody"),
    (r"\byears?[ -]olds?\b", "year"),
    (r"\bno longer\b|\bnot anymore\b|\bnot any more\b", "not"),
    (r"\bfail(s|ed|ing)? to\b", "not"),
    (r"\b(summer|winter|spring|autumn) ?time\b", r"\1"),
    (r"\bopening (hours|times?)\b", "when open"),
    (r"\ba couple( of)?\b", "2"),
    (r"\ba dozen\b", "12"),
    (r"\b(new year)['’]?s\b", r"newyear"),
    (r"\be-(mail|book|commerce|reader)", r"e\1"),
    (r"\bwi-fi\b", "wifi"),
    (r"\bpop-ups?\b", "popup"),
    (r"\b(what|which) (kind|sort|type)s? of\b", "which"),
    (r"\btoo much\b|\btoo many\b", "too-much"),
    (r"\btoo (little|few)\b", "too-little"),
    (r"\bnon-?(?=[a-z]{4})", "not "),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), to) for pattern, to in _PHRASES)


def normalise(text: str) -> str:
    """Contractions and set phrases in the one form the guards know."""
    text = unicodedata.normalize("NFKC", text.replace("℃", "°C").replace("’", "'"))
    for pattern, to in _CONTRACTIONS:
        text = pattern.sub(to, text)
    for compiled, to in _COMPILED:
        text = compiled.sub(to, text)
    return text
