"""Store settings in; clickhouse-connect clients out: a writer, and a reader with limits."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import clickhouse_connect as library

from .clickhouse import AsyncClient, Client
from .settings import StoreSettings

# urllib3 warns of each broken connection with the whole address, and in it stand bound values: people's words
# and names. What went wrong reaches the caller as an exception all the same.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Profile:
    """The engine's settings for one kind of use, sent with each statement."""

    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


WRITER = Profile(
    {
        # An insert is answered when its part is written; the writer batches by itself.
        "async_insert": 0,
        # A token must also hold for the rollups that views feed, or a torn insert leaves them short.
        "deduplicate_blocks_in_dependent_materialized_views": 1,
        # On a cluster: answered when every shard has it.
        "distributed_foreground_insert": 1,
    }
)
READER = Profile(
    {
        "readonly": 2,
        "max_execution_time": 30,  # seconds
        "max_result_rows": 100_000,
        "max_result_bytes": 256 * 1024 * 1024,
        "max_memory_usage": 2 * 1024**3,
        "result_overflow_mode": "throw",
        "read_overflow_mode": "throw",
        "timeout_overflow_mode": "throw",
    }
)


def connect(settings: StoreSettings, profile: Profile = WRITER, **options: Any) -> Client:
    """A client for the store's database; threads may share it. ``options`` go to clickhouse-connect.

    Raises ``clickhouse_connect.driver.exceptions.Error`` when the server cannot be reached or refuses.
    """
    arguments = _arguments(settings, profile) | options
    return cast(Client, library.get_client(**arguments))  # pyright: ignore[reportUnknownMemberType]


def connect_reader(settings: StoreSettings, **options: Any) -> Client:
    """A client whose statements cannot write and end after 30 s, 100,000 rows or 256 MiB."""
    return connect(settings, READER, **options)


async def connect_async(settings: StoreSettings, profile: Profile = WRITER, **options: Any) -> AsyncClient:
    """As ``connect``, for an event loop."""
    arguments = _arguments(settings, profile) | options
    client = await library.get_async_client(**arguments)  # pyright: ignore[reportUnknownMemberType]
    return cast(AsyncClient, client)


async def connect_reader_async(settings: StoreSettings, **options: Any) -> AsyncClient:
    """As ``connect_reader``, for an event loop."""
    return await connect_async(settings, READER, **options)


def _arguments(settings: StoreSettings, profile: Profile) -> dict[str, Any]:
    return {
        "interface": "https" if settings.secure else "http",
        "host": settings.host,
        "port": settings.port,
        "username": settings.user,
        "password": settings.password,
        "database": settings.database,
        "settings": dict(profile.settings),
        "compress": not _is_loopback(settings.host),  # on loopback it costs more than it saves
        "tz_mode": "aware",  # times come back as UTC, never as naive ones
        "autogenerate_session_id": False,  # a session allows one statement at a time
        "client_name": "spanledger",
    }


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
