"""A prompt's release by its label: fetched once, kept in memory and on disk, there when the collector is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

import spanledger
from spanledger import prompts
from spanledger.testing.capture import capture
from spanledger.testing.model_server import ModelServer


class Registry:
    """The collector's registry of prompts, as docs/architecture.md describes it."""

    def __init__(self) -> None:
        self.versions: list[Any] = []
        self.asked: list[str] = []
        self.status = 200
        self.url = ""

    def put(self, template: Any, **labels: int) -> None:
        document = {"template": template, "labels": labels}
        self.versions.append({"name": "greet", "version": len(self.versions) + 1, "document": document})

    def answer(self, path: str) -> tuple[int, Any]:
        self.asked.append(path)
        name, _, query = path.removeprefix("/api/registry/prompt/").partition("?")
        version = int(query.partition("=")[2] or len(self.versions))
        if name != "greet" or not 0 < version <= len(self.versions):
            return 404, {}
        return self.status, self.versions[version - 1]


@pytest.fixture
def registry() -> Iterator[Registry]:
    held = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, answer = held.answer(self.path)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        held.url = f"http://127.0.0.1:{server.server_port}"
        yield held
        server.shutdown()


@pytest.fixture(autouse=True)
def configured(registry: Registry, tmp_path: Path) -> Iterator[None]:
    prompts.forget()
    spanledger.init(endpoint=registry.url, key="k", mode="memory", home=tmp_path)
    yield
    spanledger.shutdown(0)


def test_the_labelled_version_is_found_also_when_it_is_not_the_newest(registry: Registry) -> None:
    registry.put("Hi {{name}}", production=1)
    registry.put("Hello {{ name }}!", production=1, canary=2)
    old, new = spanledger.prompt("greet"), spanledger.prompt("greet", label="canary")
    assert (old.version, old.label, old.format(name="Ann")) == (1, "production", "Hi Ann")
    assert (new.version, new.label, new.format(name="Ann")) == (2, "canary", "Hello Ann!")
    assert (old.variables, old.stale) == (["name"], False)


def test_without_such_a_label_the_newest_version_is_given(registry: Registry) -> None:
    registry.put("one")
    registry.put("two")
    found = spanledger.prompt("greet", label="unknown")
    assert (found.version, found.label, found.template) == (2, "", "two")


def test_it_is_asked_for_once(registry: Registry) -> None:
    registry.put("x", production=1)
    registry.put("y", production=1)
    assert [spanledger.prompt("greet").template for _ in range(5)] == ["x"] * 5
    assert len(registry.asked) == 2  # the newest, which tells the labels, then the version one stands for


def test_a_version_can_be_asked_for_by_its_number(registry: Registry) -> None:
    registry.put("one", production=1)
    registry.put("two", production=1)
    found = spanledger.prompt("greet", version=2)
    assert (found.template, found.version, found.label) == ("two", 2, "")
    with pytest.raises(prompts.PromptUnavailableError, match="no version 7 of prompt 'greet'"):
        spanledger.prompt("greet", version=7)


def test_messages_are_filled_in(registry: Registry) -> None:
    registry.put([{"role": "system", "content": "You are {{who}}."}, {"role": "user", "content": "{{ask}}"}])
    assert spanledger.prompt("greet").messages(who="kind", ask="Why?") == [
        {"role": "system", "content": "You are kind."},
        {"role": "user", "content": "Why?"},
    ]


def test_a_missing_value_is_named(registry: Registry) -> None:
    registry.put("Hi {{name}}")
    with pytest.raises(KeyError, match="needs a value for 'name'"):
        spanledger.prompt("greet").format()


def test_when_the_collector_is_away_the_last_copy_is_used_and_says_so(registry: Registry) -> None:
    registry.put("Hi {{name}}", production=1)
    spanledger.prompt("greet")
    prompts.forget()
    registry.status = 503
    found = spanledger.prompt("greet", fallback="never used")
    assert (found.template, found.version, found.stale) == ("Hi {{name}}", 1, True)


def test_without_a_copy_the_fallback_is_used_else_it_is_an_error(registry: Registry) -> None:
    assert spanledger.prompt("other", fallback="plain").template == "plain"
    with pytest.raises(prompts.PromptUnavailableError, match="no prompt 'other'"):
        spanledger.prompt("other")


def test_a_call_made_with_a_release_carries_it(registry: Registry) -> None:
    registry.put([{"role": "user", "content": "Hi {{name}}"}], production=1)
    with (
        ModelServer(answer="hello") as server,
        openai.OpenAI(base_url=server.base_url, api_key="any") as plain,
    ):
        found = spanledger.prompt("greet")
        with capture() as spans:
            client = spanledger.wrap(plain)
            asked: Any = found.messages(name="Ann")
            client.chat.completions.create(model="m", messages=asked)
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi Ann"}])
    got = spans[0].attributes
    assert (got["spanledger.prompt.name"], got["spanledger.prompt.version"]) == ("greet", 1)
    assert got["spanledger.prompt.label"] == "production"
    assert spans[0].input == asked
    assert "spanledger.prompt.name" not in spans[1].attributes


def test_a_copy_on_disk_is_private(registry: Registry, tmp_path: Path) -> None:
    registry.put("secret sauce")
    spanledger.prompt("greet")
    (copy,) = (tmp_path / "prompts").iterdir()
    assert copy.stat().st_mode & 0o077 == 0
