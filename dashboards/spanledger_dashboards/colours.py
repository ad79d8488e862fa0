"""A name in, its colour out: one palette, told apart with and without colour vision, on light and on dark."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

PALETTE = (
    "#3b7ddd", "#e08a1e", "#2a9d74", "#b659c9", "#17a2b8", "#c2417c", "#7a6fe0", "#8f9a1d",
    "#a8643a", "#5b8c5a", "#6b7f99", "#d9a400",
)  # fmt: skip
GREEN, RED, AMBER, GREY, BLUE, VIOLET = "#2a9d74", "#d64545", "#d98a00", "#8a94a3", "#3b7ddd", "#7a6fe0"

STATUS = {"ok": GREEN, "error": RED, "cut": AMBER, "cancelled": GREY}
SEVERITY = {"info": BLUE, "warning": AMBER, "critical": RED}
OPERATION = {
    "chat": "#3b7ddd", "text_completion": "#3b7ddd", "generate_content": "#3b7ddd", "embeddings": "#17a2b8",
    "retrieval": "#2a9d74", "execute_tool": "#e08a1e", "invoke_agent": "#7a6fe0", "invoke_workflow": "#7a6fe0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Colours:
    """Colours by order of first use, so that a newcomer never changes the others' colours."""

    names: Sequence[str]

    def of(self, name: str) -> str:
        """The colour of a name; grey for the empty one and for what is summed up as others."""
        if name in ("", OTHERS):
            return GREY
        if name in self.names:
            return PALETTE[[known for known in self.names if known].index(name) % len(PALETTE)]
        return PALETTE[zlib.crc32(name.encode()) % len(PALETTE)]


OTHERS = "(others)"
