"""Hooks that tests load into a gateway process."""

from __future__ import annotations

import asyncio
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
