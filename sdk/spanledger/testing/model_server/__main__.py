"""``python -m spanledger.testing.model_server``: settings in, a server until SIGINT or SIGTERM out."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from spanledger.testing.model_server.behaviour import Behaviour
from spanledger.testing.model_server.server import listen
from spanledger.testing.model_server.state import State


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; 2 for a bad setting or a port in use."""
    options = _options(argv)
    try:
        settings: dict[str, Any] = json.loads(options.behaviour.read_text()) if options.behaviour else {}
        settings |= {"flavour": options.flavour} if options.flavour else {}
        settings |= {"models": options.model} if options.model else {}
        behaviour = Behaviour().changed(settings)
    except (ValueError, OSError) as error:
        print(f"model server: {error}", file=sys.stderr)
        return 2
    return asyncio.run(_serve(behaviour, options.host, options.port))


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m spanledger.testing.model_server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--flavour", choices=["openai", "vllm"])
    parser.add_argument("--model", action="append", help="a model it serves; may be given again")
    parser.add_argument("--behaviour", type=Path, help="a JSON file of settings, as PUT /control takes them")
    return parser.parse_args(argv)


async def _serve(behaviour: Behaviour, host: str, port: int) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        runner = await listen(State(behaviour), host, port)
    except OSError as error:
        print(f"model server: cannot listen on {host}:{port}: {error}", file=sys.stderr)
        return 2
    print(f"model server on http://{host}:{runner.addresses[0][1]}", flush=True)
    await stopped.wait()
    await runner.cleanup()
    return 0


if __name__ == "__main__":
    sys.exit(main())
