"""A collector's URL and a key in; answers of its API, or one clear error, out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

import urllib3
from pydantic import field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from spanledger_collector.store.settings import load_settings

TIMEOUT_S = 30.0


class RemoteSettings(BaseSettings):
    """Where the collector is and who asks: ``SPANLEDGER_ENDPOINT`` and ``SPANLEDGER_KEY``."""

    model_config = SettingsConfigDict(env_prefix="SPANLEDGER_", frozen=True)

    endpoint: str = "http://127.0.0.1:4318"
    key: str = ""

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("allowed is http[s]://host[:port]")
        return value.rstrip("/")


class RemoteError(Exception):
    """The collector refused or did not answer; ``errors`` are the places it named."""

    def __init__(self, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        self.errors = errors or []
        super().__init__(message)


class Collector:
    """The API of one collector, for one project."""

    def __init__(self, endpoint: str, key: str, project: str | None = None) -> None:
        """``project`` None is the key's own; another is for operators."""
        self._endpoint, self._key, self._project = endpoint, key, project
        self._pool = urllib3.PoolManager(timeout=TIMEOUT_S, retries=False)

    def call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> Any:
        """One request; its JSON answer.

        Raises:
            RemoteError: no answer, or a status that is none of 2xx.
        """
        answer = self._ask(method, path, query, None if body is None else json.dumps(body).encode())
        return json.loads(answer.data)

    def upload(self, path: str, query: Mapping[str, str], data: bytes) -> Any:
        """Send a file as it is; the JSON answer. Raises RemoteError as ``call`` does."""
        return json.loads(self._ask("POST", path, query, data, "application/octet-stream").data)

    def download(self, path: str, query: Mapping[str, str], to: BinaryIO) -> None:
        """Write an answer to a file piece by piece. Raises RemoteError as ``call`` does, and when it breaks off."""
        answer = self._ask("GET", path, query, None, stream=True)
        try:
            for piece in answer.stream(1 << 16):
                to.write(piece)
        except urllib3.exceptions.HTTPError as lost:
            raise RemoteError(f"the answer broke off ({lost}): what was written is not whole") from lost

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        media_type: str = "application/json",
        *,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        fields = {**(query or {}), **({"project": self._project} if self._project else {})}
        text = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in fields.items())
        url = f"{self._endpoint}/api/{path}" + (f"?{text}" if text else "")
        try:
            answer = self._pool.request(
                method,
                url,
                headers={"Authorization": f"Bearer {self._key}", "Content-Type": media_type},
                body=body,
                preload_content=not stream,
            )
        except urllib3.exceptions.HTTPError as lost:
            raise RemoteError(f"no collector answers at {self._endpoint} ({lost})") from lost
        if not 200 <= answer.status < 300:
            raise _refusal(answer.status, answer.data)
        return answer


def document_path(kind: str, name: str, tail: str = "") -> str:
    """The path of a document under /api/."""
    return f"registry/{quote(kind, safe='')}/{quote(name, safe='')}{tail}"


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """A parser with the options every one of these commands takes."""
    made = argparse.ArgumentParser(prog=f"spanledger {name}", description=text)
    made.add_argument(
        "--project", help="the project to act for (an operator's key only; default: the key's own)"
    )
    return made


def connect(options: argparse.Namespace) -> Collector:
    """The collector that the environment names; exits with code 2 when the environment is wrong."""
    settings = load_settings(RemoteSettings)
    if not settings.key:
        print("SPANLEDGER_KEY is not set: it is the key that the collector knows you by", file=sys.stderr)
        raise SystemExit(2)
    return Collector(settings.endpoint, settings.key, options.project)


def reported(action: Callable[[], int]) -> int:
    """Run a command; print a refusal to stderr and return 1."""
    try:
        return action()
    except RemoteError as refused:
        print(f"error: {refused}", file=sys.stderr)
        for entry in refused.errors:
            print(f"  {place(entry)}{entry.get('message', '')}", file=sys.stderr)
        return 1


def place(entry: Mapping[str, Any]) -> str:
    """Where an error of a problem is: kind, name and path."""
    parts = [f"{entry['kind']} {entry['name']!r}" if "kind" in entry else "", str(entry.get("path", ""))]
    return "".join(f"{part}: " for part in parts if part)


def _refusal(status: int, data: bytes) -> RemoteError:
    try:
        problem: dict[str, Any] = json.loads(data)
        return RemoteError(str(problem["detail"]), problem.get("errors"))
    except (ValueError, KeyError, TypeError):
        return RemoteError(f"the collector answered {status}: {data[:200].decode(errors='replace')}")
