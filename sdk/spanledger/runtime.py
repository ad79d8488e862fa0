"""The one runtime of a process: settings in, a recorder and the tracer that feeds it out."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from typing import Any

from opentelemetry import trace

from spanledger.privacy import Mask, Privacy
from spanledger.recorder import Recorder
from spanledger.settings import Settings, SettingsError, load
from spanledger.tracing.joined import JoinProcessor
from spanledger.tracing.provider import LedgerProvider, Tracer
from spanledger.version import __version__

logger = logging.getLogger("spanledger")


class Runtime:
    """What the public functions use. ``ledger`` is our tracer, or None when an OpenTelemetry SDK makes spans."""

    __slots__ = ("content", "enabled", "ledger", "privacy", "recorder", "settings", "tracer")

    def __init__(
        self, settings: Settings, recorder: Recorder, tracer: trace.Tracer, privacy: Privacy
    ) -> None:
        self.settings = settings
        self.recorder = recorder
        self.privacy = privacy
        self.tracer = tracer
        self.ledger = tracer if isinstance(tracer, Tracer) else None
        self.enabled = settings.enabled
        self.content = settings.capture == "full"
        """Whether prompts, answers, arguments and results are recorded."""


_lock = threading.Lock()
active: Runtime | None = None
"""The runtime if there is one; read it here, change it by `start` and `stop`."""
_provider: LedgerProvider | None = None
_joined: JoinProcessor | None = None
_exit_registered = False


def current() -> Runtime:
    """The runtime; made from ``SPANLEDGER_*`` when `spanledger.init` was not called."""
    return active or _unconfigured()


def running() -> Runtime | None:
    """The runtime if there is one."""
    return active


def _unconfigured() -> Runtime:
    try:
        settings = load()
    except SettingsError as error:
        logger.error("Tracing is off: %s", error)
        settings = load({}, enabled=False)
    runtime = start(settings)
    if settings.enabled and not settings.endpoint_given:
        logger.warning(
            "Spanledger was not configured: spans go to %s; until a collector answers there they wait in %s. "
            "Call spanledger.init(endpoint=...) or set SPANLEDGER_ENDPOINT.",
            settings.endpoint,
            runtime.recorder.directory,
        )
    return runtime


def start(settings: Settings, *, mask: Mask | None = None, recorder: Recorder | None = None) -> Runtime:
    """Make this the process's runtime. An earlier one is closed; what it recorded stays in the journal."""
    global active, _exit_registered
    privacy = Privacy(settings, mask)
    with _lock:
        if active is not None:
            active.recorder.close()
        recorder = recorder or Recorder(settings, prepare=privacy if privacy.needed else None)
        tracer = _tracer(recorder) if settings.enabled else trace.NoOpTracer()
        active = Runtime(settings, recorder, tracer, privacy)
        if not _exit_registered:
            _exit_registered = True
            atexit.register(stop)
    return active


def _tracer(recorder: Recorder) -> trace.Tracer:
    """Join the SDK that the application configured, or be its tracer provider."""
    global _provider, _joined
    present: Any = trace.get_tracer_provider()
    if isinstance(present, LedgerProvider):
        present.use(recorder)
        return present.get_tracer("spanledger", __version__)
    if hasattr(present, "add_span_processor"):
        if _joined is None:
            _joined = JoinProcessor(recorder)
            present.add_span_processor(_joined)
        _joined.recorder = recorder
        return present.get_tracer("spanledger", __version__)
    if _provider is None:
        _provider = LedgerProvider(recorder)
        trace.set_tracer_provider(_provider)
    _provider.use(recorder)
    return _provider.get_tracer("spanledger", __version__)


def stop(timeout_s: float | None = None) -> bool:
    """Close the runtime: flush within the exit time. The next use makes a new one."""
    global active
    with _lock:
        runtime, active = active, None
    if runtime is None:
        return True
    limit_s = runtime.settings.exit_timeout_s if timeout_s is None else timeout_s
    until = time.monotonic() + limit_s
    shipped = runtime.recorder.close(timeout_s)
    return scores_sent(max(until - time.monotonic(), 0)) and shipped


def scores_sent(timeout_s: float) -> bool:
    """Wait until scores of spans that are over were sent, where there were any."""
    scoring: Any = sys.modules.get("spanledger.scoring")
    return scoring is None or bool(scoring.outbox.wait(timeout_s))
