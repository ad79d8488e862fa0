"""The whole product as a user starts it: `spanledger up` on free ports in, its URLs, key and answers out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from openai import OpenAI

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.settings import StoreSettings
from tests.servers import command, free_port

T = TypeVar("T")
START_LIMIT_S = 90.0
PORTS = ("ENGINE", "REDIS", "COLLECTOR", "GRPC", "GATEWAY", "DASHBOARD", "DEMO_PRIMARY", "DEMO_BACKUP")


@dataclass
class Stack:
    """One running `spanledger up`."""

    home: Path
    ports: dict[str, int]
    process: subprocess.Popen[str]
    ready_s: float = 0.0
    lines: list[str] = field(default_factory=list[str])

    @property
    def key(self) -> str:
        """The key made at the first start."""
        return (self.home / "key").read_text().strip()

    def url(self, role: str) -> str:
        """A role's base URL."""
        return f"http://127.0.0.1:{self.ports[role.upper()]}"

    @property
    def redis_url(self) -> str:
        """Where budgets' counters are."""
        password = (self.home / "broker.password").read_text().strip()
        return f"redis://:{password}@127.0.0.1:{self.ports['REDIS']}/0"

    @cached_property
    def store(self) -> Client:
        """A client of the embedded engine, as an analyst would connect."""
        token = (self.home / "engine.token").read_text().strip()
        url = f"http://default:{token}@127.0.0.1:{self.ports['ENGINE']}/spanledger"
        return connect(StoreSettings(clickhouse_url=url))

    def rows(self, sql: str, **parameters: object) -> list[dict[str, Any]]:
        """The rows of a query; parameters are bound."""
        return list(self.store.query(sql, parameters=parameters).named_results())

    def rows_until(
        self, count: int, sql: str, limit_s: float = 15, **parameters: object
    ) -> list[dict[str, Any]]:
        """The rows of a query once there are at least ``count``."""
        deadline = time.monotonic() + limit_s
        while len(rows := self.rows(sql, **parameters)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(rows)} rows instead of {count} within {limit_s:g} s: {rows}")
            time.sleep(0.1)
        return rows

    def openai(self, key: str = "", **more: Any) -> OpenAI:
        """An unmodified client pointed at the gateway."""
        more = {"max_retries": 0, "timeout": 30, **more}
        return OpenAI(base_url=f"{self.url('gateway')}/v1", api_key=key or self.key, **more)

    def api(self, method: str, path: str, body: object = None, key: str = "") -> Any:
        """One request to the collector."""
        return http(
            method, self.url("collector") + path, body, {"authorization": f"Bearer {key or self.key}"}
        ).body

    def apply(self, *documents: tuple[str, str, Mapping[str, object]]) -> None:
        """Bring registry documents about, and wait until the gateway serves by them."""
        drafts = [{"kind": kind, "name": name, "document": document} for kind, name, document in documents]
        self.api("POST", "/api/registry/apply", {"documents": drafts, "note": "test"})
        until(self._gateway_is_current, 10, "the gateway following the registry")

    def _gateway_is_current(self) -> bool:
        served = http("GET", f"{self.url('gateway')}/readyz").body["snapshot"]
        return bool(served == self.api("GET", "/api/registry/snapshot")["version"])

    def environment(self) -> dict[str, str]:
        """What an application sets to be traced here."""
        return {
            "SPANLEDGER_ENDPOINT": self.url("collector"),
            "SPANLEDGER_KEY": self.key,
            "SPANLEDGER_HOME": str(self.home / "application"),
        }

    def pid_of(self, role: str) -> int:
        """The process of a role, a child of the supervisor."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in children:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if role in words or (role == "broker" and "valkey-server" in words[0]):
                return int(pid)
        raise LookupError(f"no process for {role}")

    def said(self, words: str) -> bool:
        """Whether a line of its output holds these words."""
        return any(words in line for line in self.lines)

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Stop it as Ctrl-C does; seconds until it had ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began


@dataclass(frozen=True)
class Answer:
    """Status, headers in lower case, parsed body."""

    status: int
    headers: dict[str, str]
    body: Any


def http(method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request; an error status is an answer too."""
    raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    sent = {"content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=raw, headers=sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return _answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return _answer(refused.code, refused.headers, refused.read())


def _answer(status: int, headers: Any, content: bytes) -> Answer:
    names = {name.lower(): value for name, value in headers.items()}
    is_json = "json" in names.get("content-type", "")
    return Answer(
        status, names, json.loads(content or b"null") if is_json else content.decode(errors="replace")
    )


def until(ask: Callable[[], T], limit_s: float, what: str = "it") -> T:
    """Ask until the answer is true; fail when it does not get so in time."""
    deadline = time.monotonic() + limit_s
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {limit_s:g} s")
        time.sleep(0.1)
    return answer


@contextmanager
def running(home: Path, *words: str, **environment: str) -> Generator[Stack]:
    """Start `spanledger up WORDS` on free ports and wait until it says it is ready; stopped at the end."""
    ports = {name: free_port() for name in PORTS}
    stack = start(home, ports, *words, **environment)
    try:
        until(lambda: stack.said("Spanledger is ready") or stack.process.poll() is not None, START_LIMIT_S)
        if stack.process.poll() is not None:
            raise RuntimeError("up did not start:\n" + "\n".join(stack.lines))
        yield stack
    finally:
        if stack.process.poll() is None:
            stack.stop(signal.SIGTERM)


def start(home: Path, ports: dict[str, int], *words: str, **environment: str) -> Stack:
    """Start it without waiting."""
    given = {f"SPANLEDGER_{name}_PORT": str(port) for name, port in ports.items()}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SPANLEDGER_")}
    began = time.monotonic()
    process = subprocess.Popen(
        [*command("up"), "--home", str(home), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**clean, **given, **environment},
    )
    stack = Stack(home, ports, process)

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            stack.lines.append(line.rstrip())
            if "Spanledger is ready" in line:
                stack.ready_s = time.monotonic() - began
        process.stdout.close()

    threading.Thread(target=read, daemon=True).start()
    return stack
