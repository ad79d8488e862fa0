"""What can go wrong on the way to an upstream and back."""

from __future__ import annotations


class HttpError(OSError):
    """The base of these; the message is for people."""


class ConnectError(HttpError):
    """There is no connection: the name does not resolve, nobody listens, TLS fails, or it takes too long."""


class BrokenAnswerError(HttpError):
    """The connection ended, or brought what is no HTTP, before the answer was whole."""
