"""A call that a pool served is known by its upstream, or by its model where an engine of ours answered."""

from __future__ import annotations

from typing import Any

import pytest

from spanledger_collector.ingest.pricing import Places
from spanledger_collector.store.registry.plan import Version


def pool(project: str, name: str, **document: Any) -> Version:
    return Version(
        project=project, kind="gpu_pool", name=name, version=1, document=document, deleted=False, author="a", time=0, note=""
    )  # fmt: skip


ROWS = [
    pool("shop", "h100", upstreams=["local"], models=["Llama-70B"]),
    pool("*", "shared", upstreams=["common"], models=["qwen"]),
]


@pytest.mark.parametrize(
    ("project", "row", "served_by"),
    [
        ("shop", {"upstream": "local"}, "h100"),
        ("bank", {"upstream": "local"}, ""),
        ("bank", {"upstream": "common"}, "shared"),
        ("shop", {"upstream": "openai", "request_model": "llama-70b"}, ""),
        ("shop", {"provider": "vllm", "request_model": "llama-70b"}, "h100"),
        ("shop", {"provider": "openai", "request_model": "llama-70b"}, ""),
        ("bank", {"response_model": "qwen"}, "shared"),
        ("bank", {}, ""),
    ],
)
def test_the_pool_of_a_call(project: str, row: dict[str, Any], served_by: str) -> None:
    assert Places(ROWS).pool(project, row) == served_by
