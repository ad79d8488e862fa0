"""Scraping engines: names of old and new versions, several engines at one address, and engines that are away."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from spanledger.testing.model_server import ModelServer
from spanledger_collector.store.registry.finance import GpuPool
from spanledger_collector.store.registry.serving import Upstream
from spanledger_workers.metering import Engine, engines, meter, read_samples

from .conftest import World

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "How long is the bridge?"}]}

OLD = """# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.2
vllm:gpu_cache_usage_perc{engine="1",model_name="m"} 0.4
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 100.0
vllm:prompt_tokens_total{engine="1",model_name="m"} 23.0
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7e+09
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0"} 80
DCGM_FI_DEV_GPU_UTIL{gpu="1"} 40
# TYPE other gauge
other 7
"""


def test_old_names_are_stored_under_new_ones_and_engines_are_put_together() -> None:
    found = read_samples(OLD)
    assert found == {
        ("m", "kv_cache_usage_perc"): pytest.approx(0.3),
        ("m", "prompt_tokens_total"): 123.0,
        ("", "gpu_utilisation_percent"): 60.0,
    }


def test_a_real_scrape_of_vllm_adds_up(test_data: Path) -> None:
    file = test_data / "vllm" / "metrics-0.32-cpu.txt"
    if not file.is_file():
        pytest.skip(f"no {file}")
    found = {metric: value for (_, metric), value in read_samples(file.read_text()).items()}
    assert found["prompt_tokens_total"] == 1385.0
    assert found["request_decode_time_seconds_sum"] > 0
    assert not any(metric.endswith("_created") for metric in found)


def test_a_pool_is_found_by_the_upstream_or_by_the_pool_itself() -> None:
    upstreams = [
        ("shop", "a", Upstream(base_url="http://gpu-a:8000/v1", protocol="vllm", gpu_pool="h100")),
        ("shop", "b", Upstream(base_url="http://gpu-b:8000/v1", protocol="vllm")),
        ("shop", "openai", Upstream(base_url="https://api.openai.com/v1")),
    ]
    pools = [
        ("shop", "l4", GpuPool.model_validate({"hardware": "L4", "usd_per_hour": "0.7", "upstreams": ["b"]}))
    ]
    assert engines(upstreams, pools) == [
        Engine(project="shop", upstream="a", gpu_pool="h100", url="http://gpu-a:8000/metrics"),
        Engine(project="shop", upstream="b", gpu_pool="l4", url="http://gpu-b:8000/metrics"),
    ]


@pytest.mark.clickhouse
def test_samples_land_in_the_store_and_an_engine_that_is_away_costs_only_its_own(world: World) -> None:
    with ModelServer(flavour="vllm") as server:
        root = server.base_url.removesuffix("/v1")
        httpx.post(f"{server.base_url}/chat/completions", json=QUESTION, timeout=10).raise_for_status()
        wanted = [
            Engine(project="shop", upstream="away", gpu_pool="p", url="http://127.0.0.1:9/metrics"),
            Engine(project="shop", upstream="here", gpu_pool="p", url=f"{root}/metrics"),
        ]
        assert meter(world.client, wanted, time.time_ns()) > 3
    rows = world.rows("SELECT DISTINCT upstream, gpu_pool, model FROM engine_samples WHERE model != ''")
    assert rows == [{"upstream": "here", "gpu_pool": "p", "model": "m"}]
    tokens = world.rows("SELECT value FROM engine_samples WHERE metric = 'prompt_tokens_total'")
    assert tokens[0]["value"] > 0
