"""Processes of the measurement: nginx as upstream and as the proxy to compare with, gateways, wrk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from spanledger.serving.snapshot import (
    Budget,
    CacheRule,
    Price,
    ProjectSnapshot,
    Route,
    Snapshot,
    SnapshotKey,
    Target,
    Upstream,
)
from tests.servers import Server, answers, command, free_port, listens, spawn

KEY = "sl_bench_0123456789abcdef"
MODEL = "gpt-4o-mini"
ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "The answer is forty-two. " * 16,
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 512,
            "completion_tokens": 96,
            "total_tokens": 608,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    },
    separators=(",", ":"),
)
PROMPT = "Summarise what the ledger says about this call, in one line. " * 32  # about 2 KB


class MissingToolError(Exception):
    """A program the measurement needs is not installed."""


def tool(name: str) -> str:
    """The program's path.

    Raises:
        MissingToolError: it is not installed.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise MissingToolError(f"{name} is not installed (apt-get install {name})")
    return found


@contextlib.contextmanager
def nginx(folder: Path, name: str, server: str, port: int) -> Generator[Server]:
    """One nginx worker with this server block."""
    home = folder / name
    home.mkdir()
    config = f"""
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  keepalive_requests 1000000; default_type application/json;
  {server}
}}
"""
    (home / "nginx.conf").write_text(config)
    argv = [tool("nginx"), "-p", str(home), "-c", str(home / "nginx.conf")]
    with spawn(argv, home / "log", listens(port)) as process:
        yield process


def static_upstream(port: int) -> str:
    """A server block that answers every request with the same completion."""
    return f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{ANSWER}'; }} }}"


def reverse_proxy(port: int, upstream: int) -> str:
    """A server block that passes everything on."""
    return (
        f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; "
        'proxy_http_version 1.1; proxy_set_header Connection ""; }} }}'.replace("}}", "}")
    )


def snapshot(upstream: int) -> Snapshot:
    """Everything on: a key, a budget, a price, the exact cache."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    project = ProjectSnapshot(
        upstreams={
            "up": Upstream(base_url=f"http://127.0.0.1:{upstream}/v1", provider="openai", allow_private=True)
        },
        routes={MODEL: Route(targets=(Target(upstream="up", model=MODEL),), cache=CacheRule())},
        budgets={"all": Budget(amount=Decimal(1_000_000))},
        prices=(
            Price(name="p", version=1, provider="openai", model=MODEL, input=Decimal(1), output=Decimal(4)),
        ),
    )
    key = SnapshotKey(id="bench", hash=digest, project="bench", team="bench", scopes=("gateway",))
    return Snapshot(version=f"bench-{upstream}", keys=(key,), projects={"bench": project})


@contextlib.contextmanager
def gateway(
    folder: Path, redis_url: str, given: Snapshot, collector_url: str = ""
) -> Generator[tuple[Server, int]]:
    """A gateway that serves this snapshot from its disk."""
    home = folder / f"gateway-{given.version}"
    (home / "gateway").mkdir(parents=True)
    (home / "gateway/snapshot.json").write_bytes(given.to_json())
    port = free_port()
    env = {
        "SPANLEDGER_HOME": str(home),
        "SPANLEDGER_ENDPOINT": collector_url or f"http://127.0.0.1:{free_port()}",
        "SPANLEDGER_REDIS_URL": redis_url,
        "SPANLEDGER_GATEWAY_PORT": str(port),
        "SPANLEDGER_JOURNAL_MB": "4096",
        "SPANLEDGER_SHIP_INTERVAL_S": "0.2",
    }
    healthy = answers(f"http://127.0.0.1:{port}/healthz")
    with spawn(command("gateway"), home / "log", healthy, os.environ | env) as server:
        yield server, port


@dataclass(frozen=True)
class Load:
    """What wrk saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int


def wrk(folder: Path, port: int, connections: int, seconds: int) -> Load:
    """Load ``/v1/chat/completions``; each request asks something new, so that no cache answers it."""
    script = folder / "load.lua"
    script.write_text(
        f"""
local count, seed = 0, tostring({{}}):sub(8) .. os.time()
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {KEY}"
local tail = '{PROMPT}"}}],"max_tokens":128}}'
function request()
  count = count + 1
  local body = '{{"model":"{MODEL}","messages":[{{"role":"user","content":"' .. seed .. count .. ' ' .. tail
  return wrk.format(nil, "/v1/chat/completions", nil, body)
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %f %f %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""
    )
    argv = [
        tool("wrk"),
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=True)
    match = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", done.stdout)
    if match is None:
        raise RuntimeError(f"wrk printed no result:\n{done.stdout}{done.stderr}")
    requests, micros, p50, p99, errors = match.groups()
    return Load(int(requests), int(micros) / 1e6, float(p50) / 1e3, float(p99) / 1e3, int(errors))
