"""The guards: two questions in, the reason why the answer to one is not the answer to the other out."""

from spanledger.serving.semantic.guards.compare import GUARDS, check

__all__ = ["GUARDS", "check"]
