"""The one ``Process`` of this worker process; made at import, opened when first used."""

from __future__ import annotations

from spanledger_collector.store.settings import load_settings

from .process import Process
from .settings import WorkerSettings

process = Process(load_settings(WorkerSettings))
