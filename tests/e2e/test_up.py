"""`spanledger up`: ready in time, refuses a second one, brings the dead back, stops in time and loses nothing."""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path

import pytest

from spanledger.testing.model_server import ModelServer
from tests.e2e.stack import Stack, http, running, start, until
from tests.servers import free_port

pytestmark = pytest.mark.e2e
READY_GOAL_S = 15.0


def test_everything_answers_and_the_key_is_private(stack: Stack) -> None:
    health = {"engine": "/ping", "collector": "/readyz", "gateway": "/readyz", "dashboard": "/healthz"}
    for role, path in health.items():
        assert http("GET", stack.url(role) + path).status == 200, role
    assert stack.said(f"http://127.0.0.1:{stack.ports['DASHBOARD']}/?key={stack.key}")
    for secret in ("key", "engine.token", "broker.password", "broker.conf"):
        assert stat.S_IMODE((stack.home / secret).stat().st_mode) == 0o600
    print(f"ready after {stack.ready_s:.1f} s (goal {READY_GOAL_S:g} s)")


def test_a_second_up_on_the_same_home_refuses(stack: Stack) -> None:
    ports = {name: free_port() for name in stack.ports}
    second = start(stack.home, ports)
    assert second.process.wait(30) == 1
    until(lambda: second.said("already runs on"), 5)


def test_a_port_in_use_is_named_with_its_setting(stack: Stack, tmp_path: Path) -> None:
    second = start(
        tmp_path, {**{name: free_port() for name in stack.ports}, "GATEWAY": stack.ports["GATEWAY"]}
    )
    assert second.process.wait(30) == 1
    until(lambda: second.said("SPANLEDGER_GATEWAY_PORT"), 5)


def test_a_bad_setting_ends_it_with_its_name(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("ENGINE", "REDIS")}
    wrong = start(tmp_path, ports, SPANLEDGER_GATEWAY_PORT="70000")
    assert wrong.process.wait(30) == 2
    until(lambda: wrong.said("SPANLEDGER_GATEWAY_PORT='70000' is refused"), 5)


def test_nothing_is_lost_when_a_role_is_killed_or_all_is_stopped(
    tmp_path: Path, primary: ModelServer
) -> None:
    home = tmp_path / "home"
    with running(home) as stack:
        target = {"upstream": "stand-in", "model": "gpt-4o-mini"}
        stack.apply(
            ("upstream", "stand-in", {"base_url": primary.base_url, "allow_private": True}),
            ("route", "kept", {"targets": [target]}),
        )
        client = stack.openai()
        asked = 0
        for role in ("collector", "engine"):
            os.kill(stack.pid_of(role), signal.SIGKILL)
            for _ in range(5):
                question = f"number {asked}"
                client.chat.completions.create(model="kept", messages=[{"role": "user", "content": question}])
                asked += 1
            until(lambda role=role: stack.said(f"{role} is back"), 30, f"{role} back")
        worker = stack.pid_of("worker")
        os.kill(worker, signal.SIGKILL)
        until(lambda: stack.said("worker is back"), 40, "worker back")
        assert stack.pid_of("worker") != worker
        client.chat.completions.create(model="kept", messages=[{"role": "user", "content": "last"}])
        client.close()
        asked += 1
        took = stack.stop(signal.SIGINT)
    assert took < 10
    assert stack.process.returncode == 0
    assert stack.said("stopped")
    with running(home) as again:
        count = (
            "SELECT uniqExact(trace_id) AS n, count() AS rows FROM spans WHERE route = 'kept' AND billable"
        )
        until(lambda: again.rows(count)[0]["n"] >= asked, 15, f"{asked} calls stored")
        assert again.rows(count)[0] == {"n": asked, "rows": asked}


def test_no_process_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with running(tmp_path / "home") as stack:
        session_leaders = [stack.pid_of(role) for role in ("engine", "worker", "gateway", "broker")]
        stack.process.kill()
        stack.process.wait()
        deadline = time.monotonic() + 5
        groups = {str(pid) for pid in session_leaders}
        while _members(groups) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _members(groups) == []


def _members(groups: set[str]) -> list[str]:
    """Living processes of these process groups: Celery's pool and beat are in their worker's."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[2] in groups and fields[0] != "Z":
            found.append(path.parent.name)
    return found
