"""The engine's error text in; its code, its HTTP status and the body to answer with out."""

from __future__ import annotations

import re

# Codes of ClickHouse's own error list that this server raises itself.
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
TIMEOUT = 159
READONLY = 164
TOO_MANY_QUERIES = 202
DUPLICATE_QUERY_ID = 216
QUERY_CANCELLED = 394
AUTHENTICATION_FAILED = 516
BAD_REQUEST = 36  # BAD_ARGUMENTS
BODY_TOO_LARGE = 307  # TOO_MANY_BYTES
UNKNOWN = 1002

_NAMES = {
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    READONLY: "READONLY",
    TOO_MANY_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    DUPLICATE_QUERY_ID: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    QUERY_CANCELLED: "QUERY_WAS_CANCELLED",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
    BAD_REQUEST: "BAD_ARGUMENTS",
    BODY_TOO_LARGE: "TOO_MANY_BYTES",
}
_STATUS = {
    AUTHENTICATION_FAILED: 403,
    192: 403,  # UNKNOWN_USER
    497: 403,  # ACCESS_DENIED
    READONLY: 403,
    BAD_REQUEST: 400,
    SYNTAX_ERROR: 400,
    457: 400,  # BAD_QUERY_PARAMETER
    456: 400,  # UNKNOWN_QUERY_PARAMETER
    47: 404,  # UNKNOWN_IDENTIFIER
    60: 404,  # UNKNOWN_TABLE
    81: 404,  # UNKNOWN_DATABASE
    115: 404,  # UNKNOWN_SETTING
    TIMEOUT: 408,
    BODY_TOO_LARGE: 413,
    NOT_IMPLEMENTED: 501,
    TOO_MANY_QUERIES: 503,
}
_CODE = re.compile(r"Code: (\d+)")


class EngineError(Exception):
    """A statement the engine or this server refused.

    Attributes:
        code: ClickHouse's error code; 1002 where the engine named none.
        text: What the client is told, beginning ``Code: N.``.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def status(self) -> int:
        """The HTTP status to answer with."""
        return _STATUS.get(self.code, 500)


def refusal(code: int, why: str) -> EngineError:
    """An error of this server's own, in the engine's form."""
    return EngineError(code, f"Code: {code}. DB::Exception: {why} ({_NAMES[code]})")


def engine_error(message: str) -> EngineError:
    """Read the code out of what the engine said."""
    found = _CODE.search(message)
    if found is None:
        return EngineError(UNKNOWN, f"Code: {UNKNOWN}. DB::Exception: {message} (UNKNOWN_EXCEPTION)")
    return EngineError(int(found[1]), message[found.start() :])
