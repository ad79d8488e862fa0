"""Process groups in, by name on standard input; their end out, when the supervisor that named them is gone.

Runs as a process of its own, with the standard library only. A role may have processes of its own
(Celery has: its pool and beat), which the kernel does not end with the role's parent.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress


def main(lines: Iterable[str]) -> None:
    """Follow lines ``+GROUP`` and ``-GROUP``; at the end of the input kill what was not taken back."""
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the end of the input ends it
    main(sys.stdin)
