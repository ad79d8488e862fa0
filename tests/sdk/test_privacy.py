"""What must stay at home does: capture levels, the mask, redaction with its checksums, and limits of size."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spanledger
from spanledger import trimming
from spanledger.journal.frames import FinishedSpan
from spanledger.redaction import Redactor, luhn, mod97
from spanledger.testing.capture import capture
from tests.sdk.sink import Sink, facts


def record_everything() -> None:
    with spanledger.span("s", input={"prompt": "PRIVATE"}, output="PRIVATE", model="m") as span:
        span.update(
            user_id="USER",
            metadata={"note": "USER"},
            documents=[{"id": "1", "content": "PRIVATE"}],
            usage={"input_tokens": 3},
            attributes={"gen_ai.prompt.0.content": "PRIVATE", "input.value": "PRIVATE"},
        )


def fail_privately() -> None:
    with spanledger.span("bad"):
        record_everything()
        raise ValueError("PRIVATE")


def test_capture_metadata_leaves_content_out() -> None:
    with capture(capture="metadata") as spans:
        record_everything()
    text = str(spans[0])
    assert "PRIVATE" not in text
    assert text.count("USER") == 2
    assert spans[0].attributes["gen_ai.usage.input_tokens"] == 3


def test_capture_none_leaves_only_what_counts_and_prices() -> None:
    with capture(capture="none") as spans, pytest.raises(ValueError, match="PRIVATE"):
        fail_privately()
    assert spans[0].attributes == {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3}
    assert spans[1].status == "error"
    assert "PRIVATE" not in str(list(spans))


def test_the_mask_sees_every_text_and_decides() -> None:
    def mask(text: str) -> str:
        return text.replace("PRIVATE", "***")

    with capture(mask=mask) as spans, pytest.raises(ValueError, match="PRIVATE"):
        fail_privately()
    assert "PRIVATE" not in str([*spans])
    assert spans[0].input == {"prompt": "***"}
    assert spans[0].attributes["gen_ai.request.model"] == "m"


def test_a_mask_that_fails_lets_nothing_through(caplog: pytest.LogCaptureFixture) -> None:
    def mask(text: str) -> str:
        raise RuntimeError(text)

    with capture(mask=mask) as spans:
        record_everything()
    assert "PRIVATE" not in str(spans[0])
    assert spans[0].attributes["spanledger.output"] == "<mask failed>"
    assert caplog.text.count("mask= raised") == 1


def test_redaction_counts_what_it_replaced() -> None:
    with capture(redact=True) as spans, spanledger.span("s") as span:
        span.update(input="card 4111 1111 1111 1111, ann@example.org", tags=["ann@example.org"])
    assert spans[0].input == "card [card], [email]"
    assert spans[0].attributes["spanledger.tags"] == ("[email]",)
    assert spans[0].attributes["spanledger.redactions"] == 3


ALL = Redactor(["secrets", "card", "iban", "email", "phone"])


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("key sk-proj-" + "b2" * 20 + " end", "key [secret] end"),
        ("sk-ant-" + "a1" * 20, "[secret]"),
        ("AKIA" + "Z7" * 8, "[secret]"),
        ("ghp_" + "c3" * 18, "[secret]"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [secret]"),
        ('{"password": "hunter22222"}', '{"password": "[secret]"}'),
        ('{\\"api_key\\": \\"abcdefgh1234\\"}', '{\\"api_key\\": \\"[secret]\\"}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[secret]"),
        ("4111-1111-1111-1111", "[card]"),
        ("378282246310005", "[card]"),
        ("4111111111111112", "4111111111111112"),  # the check digit is wrong
        ("DE89 3704 0044 0532 0130 00", "[iban]"),
        ("GB29NWBK60161331926819.", "[iban]."),
        ("DE89370400440532013001", "DE89370400440532013001"),
        ("mail ann.lee+x@mail.example.co.uk now", "mail [email] now"),
        ("call +49 30 901820 or (030) 901 8200", "call [phone] or [phone]"),
        ("555-123-4567", "[phone]"),
        (
            "version 1.2.3, 2026-11-23 12:34:56, 12345 tokens",
            "version 1.2.3, 2026-11-23 12:34:56, 12345 tokens",
        ),
        ("trace 0af7651916cd43dd8448eb211c80319c", "trace 0af7651916cd43dd8448eb211c80319c"),
        ("uuid 3fa85f64-5717-4562-b3fc-2c963f66afa6", "uuid 3fa85f64-5717-4562-b3fc-2c963f66afa6"),
        ("time 1767225600000000000 ns", "time 1767225600000000000 ns"),
    ],
)
def test_redaction_finds_what_it_should_and_nothing_else(text: str, cleaned: str) -> None:
    assert ALL(text)[0] == cleaned


@given(st.integers(10**14, 10**15 - 1))
def test_a_card_number_is_known_by_its_check_digit(prefix: int) -> None:
    body = "4" + str(prefix)[1:]
    valid = [digit for digit in "0123456789" if luhn(body + digit)]
    assert len(valid) == 1
    assert ALL(f"pay {body + valid[0]} now")[0] == "pay [card] now"


def test_the_published_iban_examples_pass_their_checksum() -> None:
    for iban in ("FR1420041010050500013M02606", "NL91ABNA0417164300", "CH9300762011623852957"):
        assert mod97(iban)
        assert ALL(iban) == ("[iban]", 1)


def test_json_stays_json_after_redaction() -> None:
    messages = [{"role": "user", "content": 'my "password": "abcdefgh123" and ann@example.org'}]
    cleaned, count = ALL(json.dumps(messages))
    assert count == 2
    assert "ann@" not in json.dumps(json.loads(cleaned))


def test_a_long_field_arrives_cut_with_a_mark_and_is_named(sink: Sink) -> None:
    spanledger.init(endpoint=sink.url, mode="memory", max_field_bytes=1000)
    with spanledger.span("s") as span:
        span.update(metadata={"text": "é" * 5000, "short": "x"})
    assert spanledger.flush()
    spanledger.shutdown(0)
    got = facts(sink.spans[0])
    text = got["spanledger.metadata.text"]
    assert len(text.encode()) <= 1000
    assert text.endswith("…[truncated, 5000 characters]")
    assert got["spanledger.truncated"] == ["spanledger.metadata.text"]
    assert got["spanledger.metadata.short"] == "x"


@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=4000)}
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(400, 4000),
)
def test_messages_that_are_too_long_stay_messages_within_the_limit(
    messages: list[dict[str, str]], limit: int
) -> None:
    text = json.dumps(messages, ensure_ascii=False)
    cut, was_cut = trimming.cut(text, limit)
    assert len(cut.encode()) <= max(limit, len(text.encode()) if not was_cut else limit)
    json.loads(cut)
    assert was_cut == (len(text.encode()) > limit)


def test_lists_and_events_are_limited_too() -> None:
    span = FinishedSpan()
    span.attributes = {"list": tuple("x" * 100 for _ in range(100)), "text": "y" * 2000, "n": 1}
    span.events = (("e", 1, {"exception.message": "z" * 5000}),)
    trimming.cut_fields(span, 1000)
    assert trimming.size_of(span.attributes["list"]) <= 1100
    assert trimming.size_of(span.events[0][2]["exception.message"]) <= 1000
    assert span.attributes["n"] == 1
    assert span.attributes["spanledger.truncated"] == ("list", "text", "exception.message")
