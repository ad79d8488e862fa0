"""A bare Python gets uv from whatever index it is told, and nothing that the index did not promise."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bootstrap = _load()


def wheel(version: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr(f"uv-{version}.data/scripts/uv", f"#!/bin/sh\necho uv {version}\n")
    return content.getvalue()


FILES = {
    f"uv-{version}-py3-none-{tag}.whl": wheel(version)
    for version in ("0.9.2", "0.10.1", "0.11.0rc1")
    for tag in ("manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64")
}
FILES["uv-0.12.0.tar.gz"] = b"no wheel"


class Index(http.server.BaseHTTPRequestHandler):
    kind = "json"
    honest = True

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        if name:
            return self._send(FILES[name], "application/octet-stream")
        sums = {n: hashlib.sha256(c).hexdigest() if self.honest else "0" * 64 for n, c in FILES.items()}
        if self.kind == "json":
            files = [{"filename": n, "url": f"../../files/{n}", "hashes": {"sha256": sums[n]}} for n in FILES]
            return self._send(json.dumps({"files": files}).encode(), "application/vnd.pypi.simple.v1+json")
        links = "".join(f'<a href="../../files/{n}#sha256={sums[n]}">{n}</a>' for n in FILES)
        return self._send(f"<html>{links}</html>".encode(), "text/html")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(params=["json", "html"])
def index(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Index, "kind", request.param)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def test_the_newest_final_wheel_of_this_platform_is_taken(index: str) -> None:
    files = bootstrap.read_index(index)
    assert bootstrap.newest_wheel(files, "Linux", "x86_64").name.startswith("uv-0.10.1-py3-none-manylinux")
    assert "aarch64" in bootstrap.newest_wheel(files, "Linux", "arm64").name
    assert "macosx" in bootstrap.newest_wheel(files, "Darwin", "arm64").name
    with pytest.raises(bootstrap.BootstrapError, match="no uv for Plan9"):
        bootstrap.newest_wheel(files, "Plan9", "x86_64")


def test_uv_is_unpacked_and_runs_without_pip(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_has_pip", lambda: False)
    uv = bootstrap.install_uv(tmp_path, index)
    assert subprocess.run([uv], capture_output=True, text=True, check=True).stdout == "uv 0.10.1\n"


def test_a_wheel_that_differs_from_the_promise_is_refused(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_has_pip", lambda: False)
    monkeypatch.setattr(Index, "honest", False)
    with pytest.raises(bootstrap.BootstrapError, match="sha256 differs"):
        bootstrap.install_uv(tmp_path, index)
    assert not (tmp_path / "bin" / "uv").exists()


def test_the_index_is_the_one_pip_or_uv_is_set_up_for(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.example/simple/\n")
    assert bootstrap.index_url({"HOME": str(tmp_path)}) == bootstrap.PYPI
    with_config = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(config)}
    assert bootstrap.index_url(with_config) == "https://mirror.example/simple"
    assert (
        bootstrap.index_url({**with_config, "UV_DEFAULT_INDEX": "https://u.example"}) == "https://u.example"
    )


def test_an_index_that_cannot_be_reached_says_so_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "TRIES", 1)
    with pytest.raises(bootstrap.BootstrapError, match=r"cannot reach http://127\.0\.0\.1:9/uv/"):
        bootstrap.read_index("http://user:secret@127.0.0.1:9")
    assert "secret" not in capsys.readouterr().out


def test_an_old_python_is_told_what_it_needs() -> None:
    probe = "import sys; sys.version_info = (3, 9, 0); sys.path[:0] = ['tools']; import bootstrap; sys.exit(bootstrap.main([]))"
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
