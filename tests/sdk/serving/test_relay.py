"""A stream through the relay, cut into bytes anywhere: nothing is lost, nothing is added, cuts are told."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.serving import sse
from spanledger.serving.relay import BrokenStreamError, Relay, cut_event
from spanledger.serving.translate import translation


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse.event({"id": "c1", "model": "m", "choices": [choice], **more})


USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
ROLE = chunk({"role": "assistant", "content": ""}, usage=None)
PIECES = [
    ROLE,
    b": a comment\n\n",
    chunk({"content": 'He said ,"usage":null, twice'}, usage=None),
    chunk({"content": " é"}, usage=None).replace(b"\n\n", b"\r\n\r\n"),
    chunk({}, "stop", usage=None),
]
USAGE_CHUNK = sse.event({"id": "c1", "choices": [], "usage": USAGE})
STREAM = b"".join([*PIECES, USAGE_CHUNK, sse.DONE])

cuts = st.lists(st.integers(0, len(STREAM)), max_size=40).map(lambda found: sorted({0, *found, len(STREAM)}))


def fed(relay: Relay, data: bytes, places: list[int]) -> bytes:
    out = [relay.feed(data[a:b]) for a, b in pairwise(places)]
    return b"".join(out) + relay.close()


@given(cuts)
def test_without_stripping_every_byte_passes(places: list[int]) -> None:
    relay = Relay("chat")
    assert fed(relay, STREAM, places) == STREAM
    assert "".join(relay.answer.choice().text) == 'He said ,"usage":null, twice é'
    assert relay.answer.usage is not None
    assert relay.answer.usage.total == 9


@given(cuts)
def test_stripping_takes_out_usage_and_nothing_else(places: list[int]) -> None:
    relay = Relay("chat", strip_usage=True)
    wanted = b"".join(piece.replace(b',"usage":null}', b"}") for piece in PIECES) + sse.DONE
    assert fed(relay, STREAM, places) == wanted
    assert relay.answer.usage is not None


def test_content_starts_a_stream_and_a_role_does_not() -> None:
    relay = Relay("chat")
    relay.feed(ROLE)
    assert not relay.started
    relay.feed(PIECES[2])
    assert relay.started


@pytest.mark.parametrize(
    "bad", [b"data: {broken\n\n", b"data: [1]\n\n", b'data: {"error":{"message":"overloaded"}}\n\n']
)
def test_what_breaks_a_stream_comes_after_what_was_whole_before_it(bad: bytes) -> None:
    relay = Relay("chat")
    with pytest.raises(BrokenStreamError) as broken:
        relay.feed(PIECES[2] + bad + sse.DONE)
    assert broken.value.pending == PIECES[2]


@pytest.mark.parametrize("end", [b"", b'data: {"choices":[{"index":0,"delta":{"content":"hal'])
def test_an_end_before_the_answer_s_end_is_a_cut(end: bytes) -> None:
    relay = Relay("chat")
    relay.feed(PIECES[0] + PIECES[2] + end)
    with pytest.raises(BrokenStreamError):
        relay.close()


def test_a_clean_end_after_every_reason_to_finish_is_whole() -> None:
    relay = Relay("chat")
    relay.feed(b"".join(PIECES))
    assert relay.close() == b""


@pytest.mark.parametrize("endpoint", ["chat", "messages", "responses"])
def test_a_cut_event_is_one_event_with_an_error(endpoint: Any) -> None:
    event = cut_event(endpoint, "gone")
    assert event.endswith(b"\n\n")
    assert orjson.loads(sse.data_of(event))["error"]["message"] == "gone"
    assert b"[DONE]" not in event


@given(cuts)
def test_a_translated_stream_does_not_depend_on_how_the_bytes_were_cut(places: list[int]) -> None:
    found = translation("messages", "chat")
    assert found is not None
    relay = Relay("chat", translator=found.stream(False))
    out = fed(relay, STREAM, places)
    back = Relay("messages")
    back.feed(out)
    assert back.close() == b""
    assert "".join(back.answer.choice().text) == 'He said ,"usage":null, twice é'
    assert back.answer.usage is not None
    assert back.answer.usage.total == 9
    assert back.answer.choice().finish_reason == "end_turn"
