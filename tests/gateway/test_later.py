"""What follows an answer: after the running step, in its order, and never lost to another's failure."""

from __future__ import annotations

import asyncio

import pytest

from spanledger_gateway.later import Later


def test_work_waits_for_the_running_step_and_keeps_its_order(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def broken(_: int) -> None:
        raise ValueError("broken")

    async def test() -> None:
        later = Later()
        later.do(done.append, "first")
        later.do(broken, 1)
        later.do(done.append, "second")
        done.append("the step itself")
        await asyncio.sleep(0)
        assert done == ["the step itself", "first", "second"]
        later.do(lambda: later.do(done.append, "asked for by work"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert done[-1] == "asked for by work"

    asyncio.run(test())
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["broken"]
