"""What Spanledger uses of clickhouse-connect's clients, fully typed; their own annotations are partial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any, Protocol

from clickhouse_connect.driver.exceptions import Error as EngineError

__all__ = ["AsyncClient", "Client", "EngineError", "Rows", "Summary"]

Params = Mapping[str, Any] | None
Settings = Mapping[str, Any] | None


class Rows(Protocol):
    """A whole answer."""

    column_names: tuple[str, ...]
    summary: Mapping[str, str]

    @property
    def result_rows(self) -> Sequence[tuple[Any, ...]]:
        """Rows as tuples."""
        ...

    @property
    def result_columns(self) -> Sequence[Sequence[Any]]:
        """Columns as sequences; empty for no rows."""
        ...

    @property
    def first_row(self) -> tuple[Any, ...] | None:
        """The first row, or None."""
        ...

    def named_results(self) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries."""
        ...


class Summary(Protocol):
    """What a write did."""

    summary: Mapping[str, str]

    @property
    def written_rows(self) -> int:
        """Rows written, those of views included."""
        ...


class Client(Protocol):
    """A synchronous client; threads may share it. Errors are ``clickhouse_connect.driver.exceptions.Error``."""

    database: str
    server_version: str

    def command(
        self, cmd: str, parameters: Params = None, data: str | bytes | None = None, settings: Settings = None
    ) -> str | int | Sequence[str] | Summary:
        """Run a statement that answers at most one row."""
        ...

    def query(self, query: str, parameters: Params = None, settings: Settings = None) -> Rows:
        """Run a query and read all of its answer."""
        ...

    def query_row_block_stream(
        self, query: str, parameters: Params = None, settings: Settings = None
    ) -> AbstractContextManager[Iterator[Sequence[Sequence[Any]]]]:
        """Blocks of rows as they come, inside a ``with``."""
        ...

    def query_rows_stream(
        self, query: str, parameters: Params = None, settings: Settings = None
    ) -> AbstractContextManager[Iterator[Sequence[Any]]]:
        """Rows as they come, inside a ``with``."""
        ...

    def query_arrow(self, query: str, parameters: Params = None, settings: Settings = None) -> Any:
        """Run a query and read a ``pyarrow.Table``."""
        ...

    def raw_query(
        self, query: str, parameters: Params = None, settings: Settings = None, fmt: str | None = None
    ) -> bytes:
        """The bytes of an answer in one of ClickHouse's formats."""
        ...

    def raw_stream(
        self, query: str, parameters: Params = None, settings: Settings = None, fmt: str | None = None
    ) -> IO[bytes]:
        """As ``raw_query``, as a file to read from and close."""
        ...

    def insert(
        self,
        table: str,
        data: Sequence[Sequence[Any]],
        column_names: str | Sequence[str] = "*",
        *,
        column_type_names: Sequence[str] | None = None,
        column_oriented: bool = False,
        settings: Settings = None,
    ) -> Summary:
        """Insert rows, or columns with ``column_oriented``."""
        ...

    def insert_arrow(self, table: str, arrow_table: Any, *, settings: Settings = None) -> Summary:
        """Insert a ``pyarrow.Table``."""
        ...

    def raw_insert(
        self,
        table: str,
        column_names: Sequence[str] | None = None,
        insert_block: bytes | memoryview | str | None = None,
        settings: Settings = None,
        fmt: str | None = None,
        compression: str | None = None,
    ) -> Summary:
        """Insert bytes that are in one of ClickHouse's formats already; a memoryview is sent without a copy."""
        ...

    def ping(self) -> bool:
        """Whether the server answers."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class AsyncClient(Protocol):
    """The same for an event loop, without the streams."""

    database: str

    async def command(
        self, cmd: str, parameters: Params = None, data: str | bytes | None = None, settings: Settings = None
    ) -> str | int | Sequence[str] | Summary:
        """See ``Client``."""
        ...

    async def query(self, query: str, parameters: Params = None, settings: Settings = None) -> Rows:
        """See ``Client``."""
        ...

    async def raw_query(
        self, query: str, parameters: Params = None, settings: Settings = None, fmt: str | None = None
    ) -> bytes:
        """See ``Client``."""
        ...

    async def insert(
        self,
        table: str,
        data: Sequence[Sequence[Any]],
        column_names: str | Sequence[str] = "*",
        *,
        column_type_names: Sequence[str] | None = None,
        column_oriented: bool = False,
        settings: Settings = None,
    ) -> Summary:
        """See ``Client``."""
        ...

    async def insert_arrow(self, table: str, arrow_table: Any, *, settings: Settings = None) -> Summary:
        """See ``Client``."""
        ...

    async def ping(self) -> bool:
        """See ``Client``."""
        ...

    async def close(self) -> None:
        """See ``Client``."""
        ...
