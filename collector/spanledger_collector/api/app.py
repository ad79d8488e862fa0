"""The query API as a FastAPI application: a read-only client, the registry and the keys in."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Depends, FastAPI

from spanledger_collector.ingest.redact import Rules
from spanledger_collector.store.kept_answers import KeptAnswers
from spanledger_collector.store.reads.asking import Client
from spanledger_collector.store.registry.keys import KeyDirectory
from spanledger_collector.store.registry.registry import Registry

from . import (
    cache,
    calls,
    costs,
    documents,
    exports,
    invoices,
    ledger,
    months,
    outlook,
    problems,
    scores,
    whatif,
)
from .filters import known_parameters
from .snapshots import Snapshots


def build(
    client: Client,
    registry: Registry,
    keys: KeyDirectory,
    kept: KeptAnswers | None = None,
    redacted: Callable[[int], object] = int,
) -> FastAPI:
    """The application with every path under /api/ and OpenAPI at /openapi.json.

    ``client`` is read-only and shared by threads; ``keys`` is started and stopped by the caller.
    ``kept`` are the gateways' kept answers; ``redacted`` is told how many pieces of content were replaced. Further routes may be mounted beside it.
    """
    app = FastAPI(title="Spanledger", summary="The ledger of every LLM call.", docs_url=None, redoc_url=None)
    app.state.client, app.state.registry, app.state.keys = client, registry, keys
    app.state.kept = kept
    app.state.rules, app.state.redacted = Rules(registry), redacted
    app.state.snapshots = Snapshots(registry)
    problems.install(app)
    for router in (
        documents.router,
        calls.router,
        costs.router,
        whatif.router,
        ledger.router,
        scores.router,
        cache.router,
        exports.router,
        invoices.router,
        months.router,
        outlook.router,
    ):
        app.include_router(router, dependencies=[Depends(known_parameters)], responses=problems.RESPONSES)
    return app
