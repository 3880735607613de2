"""What is this machine's own, and that no proxy stands before it."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import httpx2
import pytest
from bundle_files import python
from listening import listening

from llink_ray.network import is_loopback, no_proxy_variables

NAMES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "grpc_proxy")
DEAD = "http://127.0.0.1:9"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LocalHost"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "localhost.example.org", "::", ""])  # noqa: S104
def test_others(host: str) -> None:
    assert not is_loopback(host)


OURS = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"no_proxy": OURS, "NO_PROXY": OURS}),
        ({"NO_PROXY": "a.example"}, dict.fromkeys(("no_proxy", "NO_PROXY"), f"a.example,{OURS}")),
        ({"no_proxy": "localhost, a.example"}, {"no_proxy": "localhost,a.example,127.0.0.1,::1"}),
        ({"no_proxy": "a", "NO_PROXY": "b"}, {"no_proxy": f"a,{OURS}", "NO_PROXY": f"b,{OURS}"}),
        ({"no_proxy": "*"}, {"no_proxy": "*", "NO_PROXY": "*"}),
        ({"no_grpc_proxy": "c"}, {"no_grpc_proxy": f"c,{OURS}", "no_proxy": OURS}),
    ],
)
def test_what_a_proxy_is_not_for(given: dict[str, str], wanted: dict[str, str]) -> None:
    result = no_proxy_variables(given)
    assert wanted.items() <= result.items()
    assert no_proxy_variables(given | result) == result


async def answers(scope: object, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body"})  # type: ignore[operator]


def test_clients_ask_this_machine_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, DEAD)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with listening(answers, lifespan="off") as url:
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url)
        for name, value in no_proxy_variables().items():
            monkeypatch.setenv(name, value)
        assert httpx2.get(url).status_code == 204
        assert urllib.request.urlopen(url, timeout=5).status == 204  # noqa: S310
        assert httpx2.get(url.replace("127.0.0.1", "localhost")).status_code == 204


COMMAND = """
import os, sys
from llink_ray.cluster.command import quiet
quiet()
print(os.environ["no_proxy"])
"""


def test_every_command_has_it_from_its_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "a.example")
    out, errors = python(COMMAND).communicate(timeout=60)
    assert out.strip() == f"a.example,{OURS}", errors
