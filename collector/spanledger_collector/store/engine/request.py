"""The URL, headers and body of one HTTP request in; a checked statement request out. Pure."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import cast
from urllib.parse import parse_qsl

from .errors import AUTHENTICATION_FAILED, BAD_REQUEST, NOT_IMPLEMENTED, refusal
from .statement import Body, Statement, read_statement

READER = "reader"
# Parameters of the HTTP interface itself; any other bare word is a setting of the engine.
_RESERVED = frozenset(
    {
        "query",
        "database",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "quota_key",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "role",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "enable_http_compression",
        "default_format",
        "user",
        "password",
        "cancel_http_readonly_queries_on_client_close",
        "stacktrace",
        "log_comment",  # carries this server's own tag
        "readonly",
        "close_session",
    }
)
# What would change the meaning of a request or its answer may not be passed over in silence.
_REFUSED = {
    "session_id": "sessions are not supported (autogenerate_session_id=False)",
    "compress": "blocks in ClickHouse's own compression are not supported (use Accept-Encoding)",
    "decompress": "blocks in ClickHouse's own compression are not supported (use Content-Encoding)",
    "role": "roles are not supported",
}
_BARE_WORD = re.compile(r"[A-Za-z_]\w*\Z")


@dataclass(frozen=True, slots=True)
class Head:
    """A request before its body is read: URL parameters and headers with lower-case names."""

    method: str
    params: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def user(self) -> str:
        """The name the client gives itself."""
        return self._credentials()[0]

    @property
    def inserts(self) -> bool:
        """Whether the URL alone says that this is an insert."""
        return self.params.get("query", "").lstrip()[:6].upper() == "INSERT"

    def authenticate(self, token: str, reader_token: str) -> None:
        """Raise ``EngineError`` unless the password is the user's; an empty token lets everyone in."""
        user, password = self._credentials()
        expected = (reader_token or token) if user == READER else token
        if expected and not hmac.compare_digest(password.encode(), expected.encode()):
            raise refusal(
                AUTHENTICATION_FAILED,
                f"{user}: Authentication failed: the token is not SPANLEDGER_ENGINE_TOKEN",
            )

    def _credentials(self) -> tuple[str, str]:
        headers, params = self.headers, self.params
        if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
            return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = b64decode(value, validate=True).decode().partition(":")
            except (Base64Error, UnicodeDecodeError):
                return "default", ""
            return user or "default", password
        if scheme.lower() == "bearer":
            return "default", value
        return params.get("user", "default"), params.get("password", "")


@dataclass(frozen=True, slots=True)
class Request:
    """One statement with everything that says how to run it."""

    statement: Statement
    database: str
    default_format: str
    settings: dict[str, str] = field(default_factory=dict[str, str])
    bound: Mapping[str, str] = field(default_factory=dict[str, str])
    readonly: str = ""
    waits_for_end: bool = False
    """The client reads nothing before the end, so an error may still change the status."""

    @property
    def output_format(self) -> str:
        """The format of the answer."""
        return self.statement.format or self.default_format


def read_head(method: str, query_string: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """Read an ASGI scope's parts; of a repeated parameter the first counts."""
    params: dict[str, str] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        params.setdefault(name, value)
    return Head(method, params, {name.decode("latin-1"): value.decode("latin-1") for name, value in headers})


def read_request(head: Head, body: Body) -> Request:
    """Make a request of a head and its inflated body; raises ``EngineError`` for what is not supported."""
    params = dict(head.params)
    if head.headers.get("content-type", "").startswith("multipart/form-data"):
        params |= _form_fields(head.headers["content-type"], b"".join(body))
        body = ()
    for name, why in _REFUSED.items():
        if params.get(name, "") not in ("", "0"):
            raise refusal(NOT_IMPLEMENTED, f"{name}: {why} by the embedded engine")
    try:
        statement = read_statement(params.get("query", ""), body)
    except UnicodeDecodeError:
        raise refusal(BAD_REQUEST, "the statement is not valid UTF-8") from None
    if not statement.verb:
        raise refusal(BAD_REQUEST, "Empty query")
    return Request(
        statement=statement,
        database=params.get("database") or head.headers.get("x-clickhouse-database") or "default",
        default_format=params.get("default_format")
        or head.headers.get("x-clickhouse-format")
        or "TabSeparated",
        settings={name: value for name, value in params.items() if _is_setting(name)},
        bound={name[6:]: value for name, value in params.items() if name.startswith("param_")},
        readonly=_readonly(head, params),
        waits_for_end=params.get("wait_end_of_query") == "1",
    )


def _readonly(head: Head, params: Mapping[str, str]) -> str:
    """The engine's own readonly mode to run in: user ``reader`` and GET may not change anything."""
    if head.user == READER:
        return "1"
    asked = params.get("readonly", "0")
    if asked not in ("0", "1", "2"):
        raise refusal(BAD_REQUEST, f"readonly={asked!r}: allowed are 0, 1 and 2")
    if asked == "0":
        return "2" if head.method == "GET" else ""  # as ClickHouse does, so that a link cannot write
    return asked


def _is_setting(name: str) -> bool:
    return name not in _RESERVED and not name.startswith("param_") and _BARE_WORD.match(name) is not None


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form. A file is external data, which is refused."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    form = cast(Message, BytesParser(policy=HTTP).parsebytes(head + body))
    fields: dict[str, str] = {}
    for part in form.walk():
        if part.is_multipart():
            continue
        if part.get_filename() is not None:
            raise refusal(
                NOT_IMPLEMENTED,
                "external data is not supported by the embedded engine; insert it into a table first",
            )
        name = part.get_param("name", header="content-disposition")
        fields[str(name)] = cast(bytes, part.get_payload(decode=True)).decode()
    return fields
