"""Applications that end in every way a process can end; run as ``python -m tests.sdk.apps WAY COUNT``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time

import spanledger

PAYLOAD = "x" * int(os.environ.get("APPS_PAYLOAD", "10"))


@spanledger.observe
def work(number: int, text: str) -> int:
    return number


def burst(count: int) -> None:
    for number in range(count):
        work(number, PAYLOAD)


def plain(count: int) -> None:
    burst(count)


def sys_exit(count: int) -> None:
    burst(count)
    sys.exit(3)


def crash(count: int) -> None:
    burst(count)
    raise RuntimeError("the application fails")


def os_exit(count: int) -> None:
    burst(count)
    os._exit(0)


def sigterm(count: int) -> None:
    burst(count)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)


def kill_9(count: int) -> None:
    burst(count)
    os.kill(os.getpid(), signal.SIGKILL)


def kill_9_while_recording(count: int) -> None:
    """Told on stdout what was recorded before the end came from outside."""
    number = 0
    while True:
        work(number, PAYLOAD)
        number += 1
        if number == count:
            print("recorded", flush=True)


def fork(count: int) -> None:
    """Three children and the parent share the work; the children end without any clean-up."""
    burst(count // 4)
    for _ in range(3):
        if os.fork() == 0:
            burst(count // 4)
            os._exit(0)
    for _ in range(3):
        os.wait()


def fork_and_sys_exit(count: int) -> None:
    burst(count // 2)
    if os.fork() == 0:
        burst(count // 2)
        sys.exit(0)
    os.wait()


def fork_before_use(count: int) -> None:
    """As a prefork server does: configured in the master, used in the workers only."""
    for _ in range(4):
        if os.fork() == 0:
            burst(count // 4)
            os._exit(0)
    for _ in range(4):
        os.wait()


def processes(count: int) -> None:
    for context in (multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")):
        children = [context.Process(target=burst, args=(count // 4,)) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()


def pool(count: int) -> None:
    with multiprocessing.get_context("fork").Pool(2) as workers:
        workers.map(burst, [count // 4] * 4)


WAYS = {
    way.__name__: way
    for way in (
        plain, sys_exit, crash, os_exit, sigterm, kill_9, kill_9_while_recording, fork, fork_and_sys_exit,
        fork_before_use, processes, pool,
    )
}  # fmt: skip

if __name__ == "__main__":
    spanledger.init()
    WAYS[sys.argv[1]](int(sys.argv[2]))
