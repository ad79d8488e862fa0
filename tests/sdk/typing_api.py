"""What type checkers see of the public functions; checked by pyright in CI, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, assert_type

import anthropic
import openai

import spanledger
from spanledger.active import ActiveSpan


@spanledger.observe
def plain(a: int, *, b: str = "") -> list[str]:
    return [b] * a


@spanledger.observe(name="n", operation="chat", record_result=False, feature="search")
async def coroutine(a: int) -> str:
    return str(a)


@spanledger.observe
def generator(a: int) -> Iterator[int]:
    yield a


@spanledger.observe
async def async_generator(a: int) -> AsyncIterator[int]:
    yield a


class Shop:
    @spanledger.observe
    def method(self, a: int) -> int:
        return a

    @classmethod
    @spanledger.observe
    def make(cls, a: int) -> Shop:
        return cls()

    @staticmethod
    @spanledger.observe
    def static(a: int) -> int:
        return a


assert_type(plain(1, b="x"), list[str])
made: Coroutine[Any, Any, str] = coroutine(1)
assert_type(generator(1), Iterator[int])
assert_type(async_generator(1), AsyncIterator[int])
assert_type(Shop().method(1), int)
assert_type(Shop.make(1), Shop)
assert_type(Shop.static(1), int)
plain("1")  # pyright: ignore[reportArgumentType]
plain(1, c=1)  # pyright: ignore[reportCallIssue]

assert_type(spanledger.wrap(openai.OpenAI()), openai.OpenAI)
assert_type(spanledger.wrap(openai.AsyncOpenAI()), openai.AsyncOpenAI)
assert_type(spanledger.wrap(anthropic.Anthropic()), anthropic.Anthropic)

with spanledger.span("s", operation="retrieval", user_id="u") as span:
    assert_type(span, ActiveSpan)
    assert_type(span.trace_id, str)
    span.update(documents=[{"id": "1"}])
    span.score("s", True, comment="c")

spanledger.update(user_id="u", tags=["a"], metadata={"k": 1})
spanledger.update(user_id=1)  # pyright: ignore[reportArgumentType]
spanledger.update(usr_id="u")  # pyright: ignore[reportCallIssue]
spanledger.score("s", 0.5)
spanledger.init(capture="none", redact=["card"], mask=str.upper)
spanledger.init(capture="some")  # pyright: ignore[reportArgumentType]
assert_type(spanledger.flush(), bool)
assert_type(spanledger.counters().dropped, dict[str, int])
assert_type(spanledger.prompt("p").format(name="n").upper(), str)
_: Callable[[int], Iterator[int]] = generator
