"""Prompts as the registry holds them, read by the SDK of an application on a real port."""

from __future__ import annotations

from pathlib import Path

import pytest

import spanledger
from spanledger import prompts
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry

from .conftest import BOOTSTRAP

pytestmark = pytest.mark.clickhouse


def test_an_application_reads_the_release_its_label_stands_for(
    served: str, registry: Registry, tmp_path: Path
) -> None:
    def put(template: object, **labels: int) -> None:
        document = {"template": template, "labels": labels, "config": {"temperature": 0}}
        registry.put("default", Draft(kind="prompt", name="greet/en", document=document), author="ann")

    put("Hi {{name}}", production=1)
    put([{"role": "user", "content": "Hello {{name}}"}], production=1, canary=2)
    prompts.forget()
    spanledger.init(endpoint=served, key=BOOTSTRAP, mode="memory", home=tmp_path)
    try:
        live, next_one = spanledger.prompt("greet/en"), spanledger.prompt("greet/en", label="canary")
        first = spanledger.prompt("greet/en", version=1)
    finally:
        spanledger.shutdown(0)
    assert (live.version, live.label, live.format(name="Ann")) == (1, "production", "Hi Ann")
    assert (next_one.version, next_one.messages(name="Ann")[0]["content"]) == (2, "Hello Ann")
    assert (first.version, first.label, first.config) == (1, "", {"temperature": 0})
