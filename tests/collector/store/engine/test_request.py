"""URL, headers and form of a request become a checked request or a refusal with ClickHouse's code."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlencode

import pytest

from spanledger_collector.store.engine.errors import EngineError
from spanledger_collector.store.engine.request import Head, Request, read_head, read_request


def head(method: str = "POST", headers: dict[str, str] | None = None, **params: str) -> Head:
    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return read_head(method, urlencode(params).encode(), pairs)


def read(request_head: Head, body: bytes) -> Request:
    return read_request(request_head, [body])


def test_parameters_are_told_apart_from_settings_and_reserved_names() -> None:
    request = read(
        head(
            database="d", max_threads="2", param_a="x", query_id="q", wait_end_of_query="1", log_comment="c"
        ),
        b"SELECT {a:String}",
    )
    assert (request.database, request.settings, request.bound) == ("d", {"max_threads": "2"}, {"a": "x"})
    assert request.waits_for_end


@pytest.mark.parametrize(
    ("method", "params", "user", "mode"),
    [
        ("POST", {}, "default", ""),
        ("GET", {}, "default", "2"),
        ("POST", {"readonly": "1"}, "default", "1"),
        ("POST", {"readonly": "2"}, "default", "2"),
        ("POST", {"readonly": "0"}, "reader", "1"),
    ],
)
def test_readers_and_links_run_in_the_engines_readonly_mode(
    method: str, params: dict[str, str], user: str, mode: str
) -> None:
    request = read(head(method, {"x-clickhouse-user": user}, **params), b"SELECT 1")
    assert request.readonly == mode


@pytest.mark.parametrize(
    "headers",
    [
        {"x-clickhouse-user": "u", "x-clickhouse-key": "secret"},
        {"authorization": "Basic " + b64encode(b"u:secret").decode()},
        {"authorization": "Bearer secret"},
    ],
)
def test_a_token_is_taken_from_every_place_a_client_may_put_it(headers: dict[str, str]) -> None:
    head(headers=headers).authenticate("secret", "")
    with pytest.raises(EngineError) as refused:
        head(headers=headers).authenticate("other", "")
    assert (refused.value.code, refused.value.status) == (516, 403)


def test_a_token_in_the_url_counts_and_none_is_refused() -> None:
    head(user="u", password="secret").authenticate("secret", "")
    for broken in ({}, {"authorization": "Basic ???"}):
        with pytest.raises(EngineError):
            head(headers=broken).authenticate("secret", "")


def test_the_reader_has_a_token_of_its_own_that_opens_nothing_else() -> None:
    head(user="reader", password="r").authenticate("secret", "r")
    with pytest.raises(EngineError):
        head(user="default", password="r").authenticate("secret", "r")
    with pytest.raises(EngineError):
        head(user="reader", password="secret").authenticate("secret", "r")


def form(*parts: tuple[str, str | None, bytes]) -> tuple[Head, bytes]:
    body = b""
    for name, filename, value in parts:
        file = f'; filename="{filename}"' if filename else ""
        body += (
            f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"
        )
    return head(headers={"content-type": "multipart/form-data; boundary=b"}), body + b"--b--\r\n"


def test_a_form_carries_statement_and_parameters() -> None:
    request = read(
        *form(("query", None, "SELECT {a:String} -- ü".encode()), ("param_a", None, "x\\ny\u2028ß".encode()))
    )
    assert request.statement.sql == "SELECT {a:String} -- ü"
    assert request.bound == {"a": "x\\ny\u2028ß"}


@pytest.mark.parametrize(
    ("request_head", "body", "code", "word"),
    [
        (*form(("query", None, b"SELECT 1"), ("t", "t.csv", b"1")), 48, "external data"),
        (head(session_id="s"), b"SELECT 1", 48, "sessions are not supported"),
        (head(compress="1"), b"SELECT 1", 48, "use Accept-Encoding"),
        (head(decompress="1"), b"SELECT 1", 48, "use Content-Encoding"),
        (head(role="r"), b"SELECT 1", 48, "roles are not supported"),
        (head(), b"  -- nothing", 36, "Empty query"),
        (head(), b"SELECT '\xff'", 36, "UTF-8"),
        (head(readonly="yes"), b"SELECT 1", 36, "allowed are 0, 1 and 2"),
    ],
)
def test_what_is_not_supported_is_refused_with_a_reason(
    request_head: Head, body: bytes, code: int, word: str
) -> None:
    with pytest.raises(EngineError, match=word) as refused:
        read(request_head, body)
    assert refused.value.code == code
