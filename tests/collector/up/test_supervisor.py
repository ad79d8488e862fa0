"""The supervisor starts roles in order, restarts the dead, stops all in order and leaves no orphans."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from spanledger_collector.up.health import is_healthy
from spanledger_collector.up.roles import Health, Role
from spanledger_collector.up.supervisor import StartError, Supervisor, pause_before_restart
from tests.servers import free_port

SERVE = """
import http.server, os, signal, sys, time
time.sleep(float(sys.argv[2]))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *args): pass
def stop(*_):
    open(os.environ["ORDER"], "a").write(sys.argv[3] + " "); sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[3] == "stubborn" else stop)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def serving(name: str, *, delay_s: float = 0, after: tuple[str, ...] = (), stage: int = 0) -> Role:
    port = free_port()
    argv = (sys.executable, "-c", SERVE, str(port), str(delay_s), name)
    health = Health(kind="http", url=f"http://127.0.0.1:{port}/")
    return Role(name=name, argv=argv, health=health, after=after, stage=stage)


def supervisor(folder: Path, said: list[str], *roles: Role) -> Supervisor:
    env = {**os.environ, "ORDER": str(folder / "order")}
    return Supervisor(roles, env, folder / "logs", say=said.append)


async def until(true: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    return False


def test_a_role_starts_when_what_it_stands_on_is_ready_and_stages_stop_in_order(tmp_path: Path) -> None:
    said: list[str] = []

    async def run() -> list[str]:
        ground = serving("ground", delay_s=0.3, stage=1)
        running = supervisor(tmp_path, said, serving("house", after=("ground",)), ground)
        await running.start()
        return await running.stop()

    assert asyncio.run(run()) == []
    assert [line.split()[0] for line in said] == ["ground", "house"]
    assert (tmp_path / "order").read_text().split() == ["house", "ground"]


def test_a_dead_role_is_restarted_and_reported(tmp_path: Path) -> None:
    said: list[str] = []

    async def run() -> tuple[int | None, int | None]:
        running = supervisor(tmp_path, said, serving("role"))
        await running.start()
        first = running.children[0].pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: "role is back" in said)
        second = running.children[0].pid
        await running.stop()
        return first, second

    first, second = asyncio.run(run())
    assert second not in (None, first)
    assert any(line.startswith("role died (signal SIGKILL); restarting it in 0.5 s") for line in said)


def test_a_role_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = Role(
        name="broken",
        argv=(sys.executable, "-c", "import sys; print('SPANLEDGER_X is refused'); sys.exit(2)"),
        health=Health(kind="http", url=f"http://127.0.0.1:{free_port()}/"),
    )

    async def run() -> None:
        running = supervisor(tmp_path, [], broken, serving("other"))
        try:
            await running.start()
        finally:
            await running.stop()

    with pytest.raises(
        StartError, match=r"(?s)broken did not start \(exit code 2\).*SPANLEDGER_X is refused"
    ):
        asyncio.run(run())


def test_a_role_that_ignores_being_asked_is_killed_in_time(tmp_path: Path) -> None:
    async def run() -> tuple[list[str], float]:
        running = supervisor(tmp_path, [], serving("stubborn", stage=2), serving("meek"))
        await running.start()
        began = time.monotonic()
        return await running.stop(), time.monotonic() - began

    killed, took = asyncio.run(run())
    assert killed == ["stubborn"]
    assert took < 10


def test_no_role_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    script = """
import asyncio, os, sys
from pathlib import Path
from spanledger_collector.up.roles import Role
from spanledger_collector.up.supervisor import Supervisor
async def main():
    roles = [Role(name=n, argv=("sh", "-c", "sleep 60 & echo $! >$0; wait", sys.argv[1] + "/" + n)) for n in "ab"]
    running = Supervisor(roles, dict(os.environ), Path(sys.argv[1]), say=lambda line: None)
    await running.start()
    print(*[c.pid for c in running.children], flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        grandchildren = [tmp_path / name for name in "ab"]
        while not all(path.exists() and path.read_text() for path in grandchildren):
            time.sleep(0.02)
        pids += [int(path.read_text()) for path in grandchildren]
        assert len(pids) == 4
        assert all(alive(pid) for pid in pids)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 5
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert not any(alive(pid) for pid in pids)


def test_what_a_dead_role_leaves_behind_is_ended_before_it_is_restarted(tmp_path: Path) -> None:
    left = tmp_path / "left"
    argv = ("sh", "-c", "sleep 60 & echo $! >>$0; wait", str(left))

    async def run() -> tuple[bool, int]:
        said: list[str] = []
        running = supervisor(tmp_path, said, Role(name="role", argv=argv))
        await running.start()
        await until(lambda: left.exists() and bool(left.read_text()))
        pid = running.children[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: "role is back" in said)
        first = int(left.read_text().split()[0])
        outcome = alive(first), first
        await running.stop()
        return outcome

    assert asyncio.run(run())[0] is False


def test_pauses_double_up_to_a_bound() -> None:
    assert [pause_before_restart(n) for n in (1, 2, 3, 6, 7, 100)] == [0.5, 1, 2, 16, 30, 30]


@pytest.mark.broker
def test_a_worker_is_ready_when_its_heartbeat_is_heard(redis_url: str, tmp_path: Path) -> None:
    app = tmp_path / "celery_app.py"
    app.write_text(f"from celery import Celery\napp = Celery('x', broker={redis_url!r})\n")
    argv = (sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-P", "threads")
    worker = Role(
        name="worker",
        argv=argv,
        env={"PYTHONPATH": str(tmp_path)},
        health=Health(kind="heartbeat", url=redis_url),
    )
    broker = Role(name="sleeper", argv=("sleep", "60"), health=Health(kind="redis", url=redis_url))

    async def run() -> bool:
        with pytest.raises(TimeoutError):  # nobody is heard yet
            await asyncio.wait_for(is_healthy(worker.health), 0.5)
        running = supervisor(tmp_path, [], worker, broker)
        await running.start()
        await running.stop()
        return True

    assert asyncio.run(run())
