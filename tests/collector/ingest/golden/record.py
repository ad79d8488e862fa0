"""Record what real instrumentations send: ``python -m tests.collector.ingest.golden.record [FAMILY...]``.

For each family a fresh environment is made with ``uv run --isolated`` (or npm), a scenario is run in it against
the stand-in model server, and everything it exports by OTLP is kept as ``FAMILY.SCENARIO.json`` beside
this file: the OTLP/JSON requests as received, and the usage the provider itself told for each call.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger.testing.model_server import ModelServer

HERE = Path(__file__).parent
OTEL = ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"]
MLFLOW = ["numpy", "pandas", "opentelemetry-exporter-otlp-proto-grpc"]
NODE = ["@opentelemetry/sdk-trace-node", "@opentelemetry/exporter-trace-otlp-proto", "zod"]


@dataclass(frozen=True)
class Family:
    """One instrumentation: what to install, and which scenarios of ``scenarios.py`` (or ``.mjs``) it can run."""

    packages: list[str]
    scenarios: list[str]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    node: bool = False

    def run(self, name: str, scenario: str, environment: dict[str, str], folder: str) -> None:
        """Run one scenario in a fresh environment of ``folder``."""
        if self.node:
            script = Path(folder) / "scenarios.mjs"
            script.write_text(
                (HERE / "scenarios.mjs").read_text()
            )  # packages are looked for beside the script
            install = ["npm", "install", "--no-audit", "--no-fund", "--no-save", *self.packages]
            subprocess.run(install, env=environment, cwd=folder, check=True, timeout=600)
            argv = ["node", script.name]
        else:
            packages = [argument for package in self.packages for argument in ("--with", package)]
            argv = ["uv", "run", "--isolated", "--no-project", "--python", "3.11", *packages]
            argv += ["python", str(HERE / "scenarios.py")]
        subprocess.run([*argv, name, scenario], env=environment, cwd=folder, check=True, timeout=600)


OPENAI = ["chat", "stream", "tools", "responses", "embeddings", "failure"]
ANTHROPIC = ["messages", "messages_stream"]
CONTENT = {
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
}
FAMILIES = {
    "otel_openai": Family([*OTEL, "openai", "opentelemetry-instrumentation-genai-openai"], OPENAI, CONTENT),
    "otel_anthropic": Family(
        [*OTEL, "anthropic", "opentelemetry-instrumentation-genai-anthropic"], ANTHROPIC, CONTENT
    ),
    "openinference_openai": Family([*OTEL, "openai", "openinference-instrumentation-openai"], OPENAI),
    "openinference_anthropic": Family(
        [*OTEL, "anthropic", "openinference-instrumentation-anthropic"], ANTHROPIC
    ),
    "traceloop_openai": Family([*OTEL, "openai", "opentelemetry-instrumentation-openai"], OPENAI),
    "traceloop_anthropic": Family([*OTEL, "anthropic", "opentelemetry-instrumentation-anthropic"], ANTHROPIC),
    "langfuse_openai": Family([*OTEL, "openai", "langfuse"], OPENAI),
    "logfire_openai": Family([*OTEL, "openai", "logfire"], OPENAI),
    "logfire_anthropic": Family([*OTEL, "anthropic", "logfire"], ANTHROPIC),
    "mlflow_openai": Family(
        [*OTEL, "openai", "mlflow-skinny", *MLFLOW],
        ["chat", "stream", "tools", "embeddings"],
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
    ),
    "native_anthropic": Family([*OTEL, "anthropic"], ANTHROPIC),
    "vercel6_openai": Family([*NODE, "ai@6", "@ai-sdk/openai@3"], OPENAI, node=True),
    "vercel7_openai": Family([*NODE, "ai@7", "@ai-sdk/openai@4", "@ai-sdk/otel@1"], OPENAI, node=True),
}


class Sink(ThreadingHTTPServer):
    """Keeps the body of every OTLP request, whatever its path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        signal = "logs" if self.path.endswith("/logs") else "traces"
        if self.path.endswith(("/traces", "/logs")):
            cast(Sink, self.server).requests.append({"signal": signal, "request": self._read(signal, body)})
        self.send_response(200)
        self.send_header("content-type", self.headers.get("content-type", ""))
        self.send_header("content-length", "0")
        self.end_headers()

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _read(self, signal: str, body: bytes) -> dict[str, Any]:
        if "json" in self.headers.get("content-type", ""):
            return json.loads(body)
        message = ExportLogsServiceRequest() if signal == "logs" else ExportTraceServiceRequest()
        message.ParseFromString(body)
        return _hex_ids(MessageToDict(message, use_integers_for_enums=True))

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _hex_ids(value: Any) -> Any:
    """OTLP/JSON writes ids as hexadecimal digits where protobuf's JSON writes base64."""
    import base64

    if isinstance(value, list):
        return [_hex_ids(item) for item in cast(list[Any], value)]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex()
            if key in ("traceId", "spanId", "parentSpanId")
            else _hex_ids(item)
            for key, item in cast(dict[str, Any], value).items()
        }
    return value


_MACHINE = re.compile(r"(?:/[\w.+-]+)+/(?=[\w.+-]+\.py)")
_OF_THE_MACHINE = ("host.", "process.", "os.")


def scrubbed(value: Any) -> Any:
    """Without what tells the machine it was recorded on: folders of files, host and process."""
    if isinstance(value, str):
        return _MACHINE.sub("", value)
    if isinstance(value, list):
        return [scrubbed(item) for item in cast(list[Any], value) if not _tells_machine(item)]
    if isinstance(value, dict):
        return {key: scrubbed(item) for key, item in cast(dict[str, Any], value).items()}
    return value


def _tells_machine(item: Any) -> bool:
    return isinstance(item, dict) and str(cast(dict[str, Any], item).get("key", "")).startswith(
        _OF_THE_MACHINE
    )


def record(name: str, scenario: str) -> None:
    """Run one scenario of one family and keep what it sent."""
    family = FAMILIES[name]
    behaviour: dict[str, Any] = {"reasoning_tokens": 7, "cached_tokens": 11, "cache_write_tokens": 5}
    if scenario.startswith("messages"):
        behaviour["cache_write_1h_tokens"] = 3
    if scenario == "tools":
        behaviour["call_tool"] = "weather"
    if scenario == "failure":
        behaviour["error_status"] = 429
    sink = Sink()
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    with (
        ModelServer(answer="Paris is the capital.", **behaviour) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        at = f"http://127.0.0.1:{sink.server_port}"
        told = Path(folder) / "usage.json"
        environment = {
            **os.environ,
            **family.environment,
            "MODEL_URL": server.base_url,
            "USAGE_FILE": str(told),
            "OTEL_EXPORTER_OTLP_ENDPOINT": at,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{at}/v1/traces",
            "OTEL_SERVICE_NAME": "golden",
            "LANGFUSE_BASE_URL": at,
            "LANGFUSE_HOST": at,
            "LANGFUSE_PUBLIC_KEY": "pk-lf-x",
            "LANGFUSE_SECRET_KEY": "sk-lf-x",
            "TRACELOOP_TELEMETRY": "FALSE",
            "PYTHONPATH": "",
        }
        family.run(name, scenario, environment, folder)
        usage = json.loads(told.read_text()) if told.exists() else []
    sink.shutdown()
    kept = {"family": name, "scenario": scenario, "usage": usage, "requests": scrubbed(sink.requests)}
    path = HERE / f"{name}.{scenario}.json"
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    print(f"{path.name}: {len(sink.requests)} requests, usage {usage}", flush=True)


def main(wanted: list[str]) -> int:
    """Record the families named, or all."""
    failed = 0
    for name in wanted or list(FAMILIES):
        for scenario in FAMILIES[name].scenarios:
            try:
                record(name, scenario)
            except (subprocess.SubprocessError, OSError) as wrong:
                failed += 1
                print(f"{name}.{scenario}: {wrong}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
