"""What workers use of redis-py, fully typed; its own annotations are partial. Answers are text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

import redis

Value = str | int | float


class Lock(Protocol):
    """A lock that expires by itself."""

    def acquire(self) -> bool:
        """Whether it is ours now."""
        ...

    def extend(self, additional_time: float, replace_ttl: bool = False) -> bool:
        """Hold it for longer; raises ``redis.exceptions.LockError`` when it expired."""
        ...

    def release(self) -> None:
        """Give it back; raises ``redis.exceptions.LockError`` when it expired."""
        ...


class Pipeline(Protocol):
    """Commands that go in one round trip and happen together."""

    def incr(self, name: str) -> Any:
        """Add one."""
        ...

    def decr(self, name: str) -> Any:
        """Take one away."""
        ...

    def expire(self, name: str, time: int) -> Any:
        """Let the key live for ``time`` seconds."""
        ...

    def delete(self, *names: str) -> Any:
        """Remove keys."""
        ...

    def execute(self) -> list[Any]:
        """Send all and return the answers in order."""
        ...


class Memory(Protocol):
    """The Redis client. Errors are ``redis.exceptions.RedisError``."""

    def get(self, name: str) -> str | None:
        """The value of a key."""
        ...

    def set(self, name: str, value: Value, ex: int | None = None, nx: bool = False) -> bool | None:
        """Set a key; with ``nx`` only where there is none: None then."""
        ...

    def hget(self, name: str, key: str) -> str | None:
        """One field of a hash."""
        ...

    def hgetall(self, name: str) -> dict[str, str]:
        """All fields of a hash; empty when there is none."""
        ...

    def hset(
        self,
        name: str,
        key: str | None = None,
        value: Value | None = None,
        mapping: Mapping[str, Value] | None = None,
    ) -> int:
        """Set fields of a hash."""
        ...

    def delete(self, *names: str) -> int:
        """Remove keys."""
        ...

    def publish(self, channel: str, message: str) -> int:
        """Send a message to whoever listens."""
        ...

    def eval(self, script: str, numkeys: int, *keys_and_args: Value) -> Any:
        """Run a Lua script."""
        ...

    def lock(
        self,
        name: str,
        timeout: float | None = None,
        *,
        blocking: bool = True,
        thread_local: bool = True,
    ) -> Lock:
        """A lock that nobody holds longer than ``timeout`` seconds; with ``thread_local`` one thread's own."""
        ...

    def llen(self, name: str) -> int:
        """Length of a list."""
        ...

    def hlen(self, name: str) -> int:
        """Number of fields of a hash."""
        ...

    def pipeline(self) -> Pipeline:
        """A batch of commands."""
        ...


def connect_memory(url: str) -> Memory:
    """A client for the URL; it connects when first used."""
    return cast("Memory", redis.Redis.from_url(url, socket_timeout=10, decode_responses=True))  # pyright: ignore[reportUnknownMemberType]
