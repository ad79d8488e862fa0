"""`spanledger dashboard`: pages over the ledger of every LLM call."""

from __future__ import annotations

import argparse
import logging
import os
import time
from typing import TYPE_CHECKING, Any, cast

from redis import Redis

from spanledger_collector.store.settings import StoreSettings, load_settings

from .settings import DashboardSettings, OidcSettings, session_secret

if TYPE_CHECKING:
    from spanledger_collector.store.registry.keys import KeyDirectory

    from .playing import Gateway

log = logging.getLogger(__name__)
ENGINE_WAIT_S = 60.0


def command(argv: list[str]) -> int:
    """Serve until SIGINT or SIGTERM; 1 when the engine does not answer within a minute, 2 for a bad setting."""
    argparse.ArgumentParser(prog="spanledger dashboard", description=__doc__).parse_args(argv)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings, store = load_settings(DashboardSettings), load_settings(StoreSettings)
    oidc = load_settings(OidcSettings)
    # Dash reads DASH_* for itself; nothing of a developer's environment may change what is served here.
    for name in [name for name in os.environ if name.startswith("DASH_")]:
        del os.environ[name]
    return _serve(settings, store, oidc)


def _serve(settings: DashboardSettings, store: StoreSettings, oidc: OidcSettings) -> int:
    import uvicorn

    from spanledger_collector.store.clickhouse import EngineError
    from spanledger_collector.store.client import connect, connect_reader
    from spanledger_collector.store.kept_answers import KeptAnswers
    from spanledger_collector.store.registry.announce import RedisAnnouncer
    from spanledger_collector.store.registry.keys import KeyDirectory
    from spanledger_collector.store.registry.registry import Registry

    from .app import build

    deadline = time.monotonic() + ENGINE_WAIT_S
    while True:
        try:
            client = connect_reader(store)
            break
        except EngineError as away:
            if time.monotonic() > deadline:
                print(
                    f"spanledger dashboard: SPANLEDGER_CLICKHOUSE_URL={store.clickhouse_url} does not answer: {away}"
                )
                return 1
            time.sleep(0.5)
    keys = KeyDirectory(Registry(client), copy=settings.home.expanduser() / "dashboard" / "keys.json")
    keys.start()
    redis = _redis(settings.redis_url)
    app = build(
        client,
        keys,
        session_secret(settings),
        editor=Registry(connect(store), RedisAnnouncer(redis)),
        kept=KeptAnswers(redis),
        secure_cookies=settings.dashboard_secure_cookies,
        oidc=oidc,
        gateway=_gateway(settings, keys),
    )
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.dashboard_port,
        log_level="warning",
        access_log=False,  # an address may carry a key
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run()
    keys.stop()
    client.close()
    return 0


def _gateway(settings: DashboardSettings, keys: KeyDirectory) -> Gateway:
    """Where the playground asks, with the dashboard's own key while that may call models."""
    from spanledger_collector.store.registry.keys import KeysUnavailableError, hash_key

    from .playing import Gateway

    def project() -> str:
        try:
            holder = keys.holder(hash_key(settings.key))
        except KeysUnavailableError:
            return ""
        return holder.project if holder is not None and holder.may("gateway") else ""

    return Gateway(settings.gateway_url.rstrip("/"), settings.key, project)


def _redis(url: str) -> Redis:
    """A client with short timeouts: a change waits for its announcement."""
    make = cast("Any", Redis).from_url  # its own annotations are partial
    return make(url, socket_timeout=1, socket_connect_timeout=1)
