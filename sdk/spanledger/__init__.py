"""Trace every LLM call with one decorator, and never lose a span.

The names below are loaded when they are first used: a process that only ships the journal, or only reads
`spanledger.records`, pays for nothing else.
"""

from __future__ import annotations

from spanledger.version import __version__

TYPE_CHECKING = False  # typing alone would cost the shipper process 14 ms
if TYPE_CHECKING:
    from spanledger.active import ActiveSpan
    from spanledger.decorator import observe
    from spanledger.face import counters, flush, init, score, shutdown, span, traceparent, update
    from spanledger.prompts import Prompt, prompt
    from spanledger.recorder import Counters
    from spanledger.settings import SettingsError
    from spanledger.wrappers import wrap
    from spanledger.wrappers.caches import ExactCache
    from spanledger.wrappers.meaning import SemanticCache

__all__ = [
    "ActiveSpan",
    "Counters",
    "ExactCache",
    "Prompt",
    "SemanticCache",
    "SettingsError",
    "__version__",
    "counters",
    "flush",
    "init",
    "observe",
    "prompt",
    "score",
    "shutdown",
    "span",
    "traceparent",
    "update",
    "wrap",
]

_HOME = {
    "ActiveSpan": "active",
    "Counters": "recorder",
    "ExactCache": "wrappers.caches",
    "SemanticCache": "wrappers.meaning",
    "Prompt": "prompts",
    "SettingsError": "settings",
    "observe": "decorator",
    "prompt": "prompts",
    "wrap": "wrappers",
}


if not TYPE_CHECKING:  # a checker would take any name for an attribute of the module

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'spanledger' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"spanledger.{_HOME.get(name, 'face')}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
