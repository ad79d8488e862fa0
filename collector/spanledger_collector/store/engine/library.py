"""The chdb wheel in; its engine, configured for a server, out."""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from xml.sax.saxutils import escape

from spanledger_collector.store.heap import keep_heap

_EXTENSION = "_chdb.abi3.so"
_DEEPBIND = 0x00008  # RTLD_DEEPBIND of dlfcn.h
_MIB = 1024 * 1024
_IDLE_THREADS = 32  # of the engine's pool: each holds three files open, and by default 1,000 stay for ever


def load_engine() -> ModuleType:
    """The wheel's extension module, without the package around it.

    Importing the package brings numpy and pyarrow and opens an engine in memory: 170 ms of CPU and 50 MiB that a
    server has no use for. A wheel that is laid out otherwise is imported as usual.
    """
    package = importlib.util.find_spec("chdb")
    folder = Path(package.origin).parent if package is not None and package.origin else Path()
    path = folder / _EXTENSION
    if "chdb" in sys.modules or not path.is_file():
        from chdb import _chdb

        return _chdb
    if sys.platform == "linux":
        # As the package does: its C++ must find its own allocator before any other library's.
        ctypes.CDLL(str(path), mode=sys.getdlopenflags() | _DEEPBIND)
    name = "chdb._chdb"
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def prepare_process(folder: Path, memory: int) -> None:
    """Settle what the engine takes from its process: working directory, time zone and heap.

    The engine reads ``config.xml`` where it stands: it shall find ours, in ``folder/work``, and nobody else's.
    ``memory`` is the number of bytes it may use in all; ``folder/backups`` is the only place for BACKUP.
    """
    work, backups = folder / "work", folder / "backups"
    for made in (work, backups):
        made.mkdir(exist_ok=True)
    (work / "config.xml").write_text(server_config(memory, backups))
    os.chdir(work)
    os.environ["TZ"] = "UTC"
    keep_heap()


def server_config(memory: int, backups: Path) -> str:
    """The engine's ``config.xml``: a bound on all memory, caches in proportion to it, a place for backups."""
    cache = max(memory // 16, 16 * _MIB)
    caches = (
        "mark_cache_size",
        "primary_index_cache_size",
        "index_mark_cache_size",
        "text_index_tokens_cache_size",
        "text_index_header_cache_size",
        "text_index_postings_cache_size",
    )
    lines = [f"  <max_server_memory_usage>{memory}</max_server_memory_usage>"]
    lines += [f"  <{name}>{cache}</{name}>" for name in caches]
    lines += [f"  <max_thread_pool_free_size>{_IDLE_THREADS}</max_thread_pool_free_size>"]
    lines += [f"  <backups><allowed_path>{escape(str(backups))}/</allowed_path></backups>"]
    return "\n".join(["<clickhouse>", *lines, "</clickhouse>", ""])


def physical_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
