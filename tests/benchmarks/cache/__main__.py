"""``python -m tests.benchmarks.cache [SECTION ...]``: the semantic cache's figures; all sections where none is named."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.benchmarks.report import Figure, report

from . import bound, flights, guards, hits, lookup

SECTIONS: dict[str, Callable[[], list[Figure]]] = {
    "hits": hits.figures,
    "lookup": lookup.figures,
    "guards": guards.figures,
    "flights": flights.figures,
    "kept": bound.kept,
    "exceeded": bound.exceeded,
}


def main(argv: list[str]) -> int:
    """Run the sections and report."""
    unknown = set(argv) - SECTIONS.keys()
    if unknown:
        print(f"no section {', '.join(sorted(unknown))}; known: {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    return report([figure for name in argv or SECTIONS for figure in SECTIONS[name]()])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
