"""Hooks that tests load into a gateway process."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from spanledger_gateway.hooks import Blocked, View


class Words:
    """Blocks, slows, breaks or changes what it is told to by the question's words."""

    name = "words"

    async def request(self, view: View) -> dict[str, Any] | None:
        text = str(view.body)
        if "FORBIDDEN" in text:
            raise Blocked("this word is not allowed")
        if "SLOW" in text:
            await asyncio.sleep(5)
        if "STUBBORN" in text:
            for _ in range(20):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1)
        if "WRONG" in text:
            return ["no object"]  # pyright: ignore[reportReturnType]
        if "SPOIL" in text:
            return {"messages": "none"}
        if "BREAK" in text:
            raise RuntimeError("broken guard")
        if "MASK" in text:
            return {**view.body, "messages": [{"role": "user", "content": "masked"}]}
        return None

    async def response(self, view: View, body: bytes) -> bytes | None:
        if b"Paris" in body and "CENSOR" in str(view.body):
            return body.replace(b"Paris", b"*****")
        return None


class Open(Words):
    name = "open"
