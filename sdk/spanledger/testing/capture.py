"""For tests of applications: code in, the spans it recorded out, with a clock and ids that repeat.

>>> import spanledger
>>> @spanledger.observe
... def greet(name: str) -> str:
...     return f"hello {name}"
>>> with capture() as spans:
...     _ = greet("ann")
>>> spans[0].name, spans[0].input, spans[0].output
('greet', {'name': 'ann'}, 'hello ann')
>>> spans[0].trace_id
'00000000000000000000000000000001'
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, overload

import orjson

from spanledger import ids, runtime, semconv, snapshot
from spanledger.otlp import STATUS_ERROR
from spanledger.privacy import Mask, Privacy
from spanledger.recorder import Counters, Recorder
from spanledger.settings import Settings, load
from spanledger.span_facts import SpanFacts

START: Final = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


class FixedClock:
    """Time that only moves when asked for: each look is ``step`` nanoseconds after the one before.

    >>> clock = FixedClock(start=100, step=10)
    >>> clock(), clock()
    (100, 110)
    """

    def __init__(self, start: int = START, step: int = 1_000_000) -> None:
        self.now = start
        self.step = step

    def __call__(self) -> int:
        """The time in ns since the epoch, and one step on."""
        now = self.now
        self.now += self.step
        return now


class FixedIds:
    """Ids that count up from one, trace ids and span ids apart.

    >>> bits = FixedIds()
    >>> bits(128), bits(64), bits(64)
    (1, 1, 2)
    """

    def __init__(self) -> None:
        self._next: dict[int, int] = {}

    def __call__(self, bits: int) -> int:
        """The next number for ids of so many bits."""
        self._next[bits] = self._next.get(bits, 0) + 1
        return self._next[bits]


@dataclass(frozen=True, kw_only=True)
class CapturedSpan:
    """One finished span. Ids are hexadecimal, times ns; ``attributes`` are named as on the wire."""

    name: str
    trace_id: str
    span_id: str
    parent_span_id: str
    start_time: int
    end_time: int
    status: Literal["ok", "error", "cut", "cancelled"]
    status_message: str
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]

    @property
    def input(self) -> Any:
        """The recorded arguments, or a model call's messages; None when there are none."""
        return self._json(semconv.INPUT, semconv.INPUT_MESSAGES)

    @property
    def output(self) -> Any:
        """The recorded result, or a model's answer; None when there is none."""
        return self._json(semconv.OUTPUT, semconv.OUTPUT_MESSAGES)

    def _json(self, *names: str) -> Any:
        found = next((self.attributes[name] for name in names if name in self.attributes), None)
        return None if found is None else orjson.loads(found)


class CapturedSpans(Sequence[CapturedSpan]):
    """The spans that finished so far, in the order in which they finished."""

    def __init__(self) -> None:
        self._spans: list[CapturedSpan] = []
        self._lock = threading.Lock()

    def add(self, span: SpanFacts) -> None:
        """Take a finished span."""
        captured = _captured(span)
        with self._lock:
            self._spans.append(captured)

    def named(self, name: str) -> CapturedSpan:
        """The only span of this name.

        Raises:
            LookupError: there is none, or more than one.
        """
        found = [span for span in self._spans if span.name == name]
        if len(found) != 1:
            raise LookupError(
                f"{len(found)} spans are named {name!r}; there are: {[s.name for s in self._spans]}"
            )
        return found[0]

    def clear(self) -> None:
        """Forget all."""
        self._spans.clear()

    @overload
    def __getitem__(self, index: int) -> CapturedSpan: ...
    @overload
    def __getitem__(self, index: slice) -> list[CapturedSpan]: ...
    def __getitem__(self, index: int | slice) -> CapturedSpan | list[CapturedSpan]:
        """By position."""
        return self._spans[index]

    def __len__(self) -> int:
        """How many."""
        return len(self._spans)


class _CapturingRecorder(Recorder):
    """Keeps spans where a test can look at them. Nothing is written or sent."""

    sends = False

    def __init__(self, settings: Settings, privacy: Privacy, spans: CapturedSpans) -> None:
        super().__init__(settings)
        self._privacy = privacy if privacy.needed else None
        self._spans = spans

    def take(self, span: SpanFacts) -> None:
        if self._privacy is not None:
            self._privacy(span)
        self._spans.add(span)

    def flush(self, timeout_s: float = 5.0, *, give_up_when_away: bool = False) -> bool:
        return True

    def close(self, timeout_s: float | None = None) -> bool:
        return True

    def counters(self) -> Counters:
        return Counters(len(self._spans), 0, len(self._spans), {})


@contextmanager
def capture(
    *,
    clock: Callable[[], int] | None = None,
    bits: Callable[[int], int] | None = None,
    mask: Mask | None = None,
    **settings: Any,
) -> Generator[CapturedSpans]:
    """Record into memory inside the block; nothing reaches a disk or a network.

    Args:
        clock: Gives ns since the epoch; a `FixedClock` by default.
        bits: Gives a number of so many bits; `FixedIds` by default.
        mask: As for `spanledger.init`.
        settings: As for `spanledger.init`.
    """
    spans = CapturedSpans()
    chosen = load({}, **settings)
    recorder = _CapturingRecorder(chosen, Privacy(chosen, mask), spans)
    rt = runtime.start(chosen, recorder=recorder)
    provider = rt.ledger.provider if rt.ledger is not None else None
    if provider is not None:
        provider.use_sources(clock or FixedClock(), bits or FixedIds())
    try:
        yield spans
    finally:
        if provider is not None:
            provider.use_sources(ids.clock, ids.random_bits)
        runtime.stop(0)


def _captured(span: SpanFacts) -> CapturedSpan:
    facts = snapshot.decoded(span.attributes)
    told: Any = facts.pop(semconv.STATUS, None)
    return CapturedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        start_time=span.start_time,
        end_time=span.end_time,
        status=told or ("error" if span.status_code == STATUS_ERROR else "ok"),
        status_message=span.status_message,
        attributes=facts,
        events=[(name, when, dict(pairs)) for name, when, pairs in span.events],
    )
