"""WordNet's files in, the word list of the semantic cache's guards out.

Run as ``python tools/word_lexicon.py /usr/share/wordnet sdk/spanledger/serving/semantic/guards/words.txt.gz``
(Debian's package ``wordnet-base``). A line of the list is ``word TAB kinds TAB synonyms TAB relatives``: kinds are
the parts of speech (n, v, a, r), the commonest first; synonyms share a common sense; relatives are derived from
one another (enrol, enrolment). Lines ``=form TAB word`` are irregular forms.
"""

from __future__ import annotations

import gzip
import sys
from collections import defaultdict
from pathlib import Path

FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
POS = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
MOST_SENSES = 2
MANY_TIMES = 12
LEAST_SHARE = 0.15


def common_senses(folder: Path) -> tuple[set[tuple[str, str, str]], dict[str, dict[str, int]]]:
    """(part of speech, offset, word) of every common sense; how often each word is each part of speech."""
    common: set[tuple[str, str, str]] = set()
    kinds: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    senses: list[tuple[str, str, str, int, int]] = []
    for line in (folder / "index.sense").read_text().splitlines():
        key, offset, number, count = line.split()
        word, _, rest = key.partition("%")
        if not word.isascii() or not word.isalpha():
            continue
        pos = POS[rest[0]]
        kinds[word][pos] += 10 * int(count) + 1
        senses.append((pos, offset, word, int(number), int(count)))
    for pos, offset, word, number, count in senses:
        is_usual = kinds[word][pos] >= LEAST_SHARE * sum(kinds[word].values())  # to father is not to mother
        if is_usual and (number <= MOST_SENSES or count >= MANY_TIMES):
            common.add((pos, offset, word))
    return common, kinds


def relations(
    folder: Path, common: set[tuple[str, str, str]]
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Synonyms and derived words of each word, in common senses only."""
    synsets: dict[tuple[str, str], list[str]] = {}
    pointers: list[tuple[str, str, str, str, int, int]] = []
    for pos, name in FILES.items():
        for line in (folder / f"data.{name}").read_text().splitlines():
            if line.startswith("  "):
                continue
            fields = line.partition(" | ")[0].split()
            count = int(fields[3], 16)
            words = [fields[4 + 2 * i].partition("(")[0].lower() for i in range(count)]
            synsets[pos, fields[0]] = words
            at = 4 + 2 * count
            for i in range(int(fields[at])):
                symbol, offset, kind, ends = fields[at + 1 + 4 * i : at + 5 + 4 * i]
                if symbol in ("+", "\\"):
                    kind = "a" if kind == "s" else kind
                    pointers.append((pos, fields[0], kind, offset, int(ends[:2], 16), int(ends[2:], 16)))
    synonyms: dict[str, set[str]] = defaultdict(set)
    for (pos, offset), words in synsets.items():
        group = {word for word in words if (pos, offset, word) in common}
        for word in group:
            synonyms[word] |= group - {word}
    related: dict[str, set[str]] = defaultdict(set)
    for pos, offset, kind, target, left, right in pointers:
        one, two = synsets[pos, offset][left - 1], synsets[kind, target][right - 1]
        if one != two and (pos, offset, one) in common and (kind, target, two) in common:
            related[one].add(two)
            related[two].add(one)
    return synonyms, related


def main(source: str, target: str) -> None:
    """Write the list."""
    folder = Path(source)
    common, kinds = common_senses(folder)
    synonyms, related = relations(folder, common)
    lines: list[str] = []
    for word, counts in sorted(kinds.items()):
        order = "".join(sorted(counts, key=lambda pos: -counts[pos]))
        known = (" ".join(sorted(synonyms[word])), " ".join(sorted(related[word] - synonyms[word])))
        if any(known) or max(counts.values()) > 10:
            lines.append("\t".join((word, order, *known)))
    for name in FILES.values():
        for line in (folder / f"{name}.exc").read_text().splitlines():
            form, *words = line.split()
            if name in ("adj", "adv") and form in kinds:
                continue  # an offer is not more off
            if form.isalpha() and words[0].isalpha() and form != words[0] and words[0] in kinds:
                lines.append(f"={form}\t{words[0]}")
    Path(target).write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
