"""A number in; synthetic rows of ``spans`` out, with prompts and answers of some kilobytes."""

from __future__ import annotations

import random
from typing import Any

COLUMNS = [
    "project", "team", "user_id", "trace_id", "span_id", "start_time", "duration_ns", "name", "operation", "status",
    "provider", "request_model", "response_id", "input_tokens", "output_tokens", "billable", "cost_total", "input",
    "output", "attributes",
]  # fmt: skip
_WORDS = [f"word{number:04d}" for number in range(3000)]
START = 1_767_225_600_000_000_000  # 2026-01-01, ns


def rows(first: int, count: int, input_words: int = 300, output_words: int = 60) -> list[list[Any]]:
    """``count`` rows numbered from ``first``; the same number is the same row."""
    return [_row(number, input_words, output_words) for number in range(first, first + count)]


def _row(number: int, input_words: int, output_words: int) -> list[Any]:
    dice = random.Random(number)
    return [
        f"project-{number % 5}", f"team-{number % 7}", f"user-{dice.randrange(5000)}",
        (number // 6).to_bytes(16, "big"), number.to_bytes(8, "big"), START + number * 50_000_000,
        dice.randrange(10**8, 10**10), "chat", "chat", "error" if dice.random() < 0.02 else "ok",
        "openai", f"gpt-{number % 3}", f"resp-{number:x}", dice.randrange(50, 4000), dice.randrange(5, 800), True,
        dice.randrange(10**6) / 10**9, " ".join(dice.choices(_WORDS, k=input_words)),
        " ".join(dice.choices(_WORDS, k=output_words)), {"deployment": f"d{number % 4}", "run": str(number % 100)},
    ]  # fmt: skip
