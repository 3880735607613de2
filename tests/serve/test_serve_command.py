"""What ``python -m serve`` refuses, before it starts a Ray."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve.__main__ import app


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, (result.output, result.exception)
    *before, sentence = result.stderr.strip().split("\n")
    assert sentence.startswith("error: ")
    assert [line for line in before if not line.startswith("starting the service over ")] == []
    return sentence


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("a Ray was started")

    monkeypatch.setattr("llink_ray.cluster.local_ray.connect", start)
    for name in ("LLINK_API_KEYS", "LLINK_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_a_port_that_is_taken(registry: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = refused("--registry", str(registry), "--port", str(port))
    assert f"port {port} on 127.0.0.1" in result and "--port" in result


def test_an_empty_registry_says_how_to_teach(tmp_path: Path) -> None:
    result = refused("--registry", str(tmp_path / "registry"))
    assert "jobs/train.py --lang=" in result
    assert list(tmp_path.iterdir()) == []  # looking leaves nothing behind


def test_other_machines_want_a_key_first(
    registry: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for host in ("192.0.2.7", "example.org"):
        assert "there is no key" in refused("--registry", str(registry), "--host", host)
    monkeypatch.setenv("LLINK_API_KEYS", "ada:short")
    assert "short" not in refused("--registry", str(registry), "--host", "192.0.2.7")
    file = tmp_path / "keys.yaml"
    file.write_text("[]")
    monkeypatch.delenv("LLINK_API_KEYS")
    assert "add one" in refused(
        "--registry", str(registry), "--host", "192.0.2.7", "--set", f"keys.file={file}"
    )


def test_a_setting_that_nobody_knows(registry: Path) -> None:
    assert "limits.seconds" in refused("--registry", str(registry), "--set", "limits.second=3")
