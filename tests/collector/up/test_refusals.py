"""`spanledger up` refuses, before it starts anything, what cannot work, and says what to change."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from spanledger_collector.up.command import command
from spanledger_collector.up.home import HomeLock, InUseError, kept_secret
from spanledger_collector.up.ports import complaints
from spanledger_collector.up.roles import Secrets, broker_config, roles, shared_env, taken_ports
from spanledger_collector.up.settings import UpSettings
from tests.servers import free_port

SECRETS = Secrets(key="sl_bootstrap_1", engine_token="e", redis_password="r")


def test_a_second_up_on_the_same_home_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = HomeLock(tmp_path / "home")
    assert command(["--home", str(tmp_path / "home")]) == 1
    assert "already runs" in capsys.readouterr().err
    lock.release()
    HomeLock(tmp_path / "home").release()


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path)
    with pytest.raises(InUseError, match=r"process \d+"):
        HomeLock(tmp_path)
    lock.release()


def test_a_port_in_use_is_named_with_its_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("SPANLEDGER_GATEWAY_PORT", str(port))
        assert command(["--home", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert f"port {port} is in use" in told
    assert "SPANLEDGER_GATEWAY_PORT" in told


def test_two_roles_on_one_port_are_refused() -> None:
    port = free_port()
    (told,) = complaints("127.0.0.1", {"SPANLEDGER_A_PORT": port, "SPANLEDGER_B_PORT": port})
    assert "SPANLEDGER_A_PORT and SPANLEDGER_B_PORT" in told
    assert complaints("127.0.0.1", {"SPANLEDGER_A_PORT": port}) == []


def test_a_bad_setting_is_named_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPANLEDGER_COLLECTOR_PORT", "http")
    with pytest.raises(SystemExit) as ended:
        command([])
    assert ended.value.code == 2
    assert "SPANLEDGER_COLLECTOR_PORT='http'" in capsys.readouterr().err


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = kept_secret(path, "sl_bootstrap_")
    assert made.startswith("sl_bootstrap_")
    assert len(made) > 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept_secret(path, "sl_bootstrap_") == made
    path.write_text("")
    assert kept_secret(path) != ""


def test_urls_replace_the_embedded_engine_and_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_CLICKHOUSE_URL", "https://u:p@ch.example/ledger")
    monkeypatch.setenv("SPANLEDGER_REDIS_URL", "rediss://redis.example/0")
    settings = UpSettings()
    names = [role.name for role in roles(settings, SECRETS, Path())]
    assert names == ["collector", "gateway", "worker", "dashboard"]
    env = shared_env(settings, SECRETS)
    assert env["SPANLEDGER_CLICKHOUSE_URL"] == "https://u:p@ch.example/ledger"
    assert env["SPANLEDGER_REDIS_URL"] == "rediss://redis.example/0"
    assert "SPANLEDGER_ENGINE_TOKEN" not in env
    assert not {"SPANLEDGER_ENGINE_PORT", "SPANLEDGER_REDIS_PORT"} & taken_ports(settings, False).keys()


def test_servers_on_every_address_are_reached_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_HOST", "0.0.0.0")
    settings = UpSettings()
    assert settings.collector_url == "http://127.0.0.1:4318"
    assert "requirepass r" in broker_config(settings, SECRETS)
    monkeypatch.setenv("SPANLEDGER_HOST", "::1")
    assert UpSettings().dashboard_url == "http://[::1]:8050"
