"""``/metrics`` of a worker: what its processes counted, and how long its queues are."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def prepare() -> str:
    """Make the folder that all processes of this worker count in. To be called before metrics are imported."""
    folder = tempfile.mkdtemp(prefix="spanledger-worker-")
    os.environ[FOLDER] = folder
    return folder


def clear(folder: str) -> None:
    """Remove the folder; the worker ended."""
    shutil.rmtree(folder, ignore_errors=True)


def serve(folder: str, host: str, port: int, redis_url: str) -> int:
    """Answer on ``host:port`` until SIGTERM. A port that is taken costs the metrics and not the work: it is said once."""
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.metrics_core import GaugeMetricFamily, Metric
    from prometheus_client.multiprocess import MultiProcessCollector
    from prometheus_client.registry import Collector
    from redis.exceptions import RedisError

    from .app import QUEUES
    from .memory import connect_memory

    redis = connect_memory(redis_url)

    class Queues(Collector):
        """Asked when somebody scrapes; absent where the broker is."""

        def collect(self) -> Iterator[Metric]:
            depth = GaugeMetricFamily(
                "spanledger_worker_queue_depth", "Messages that wait in a queue.", labels=["queue"]
            )
            unacked = GaugeMetricFamily(
                "spanledger_worker_messages_unacked", "Messages that workers hold, of all queues."
            )
            try:
                for queue in QUEUES:
                    depth.add_metric([queue], redis.llen(queue))
                unacked.add_metric([], redis.hlen("unacked"))
            except RedisError:
                return
            yield depth
            yield unacked

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)
    registry.register(Queues())
    try:
        start_http_server(port, addr=host, registry=registry)
    except OSError as taken:
        print(
            f"spanledger worker: /metrics cannot listen on {host}:{port} ({taken}): set SPANLEDGER_WORKER_PORT",
            file=sys.stderr,
            flush=True,
        )
    while True:
        signal.pause()
