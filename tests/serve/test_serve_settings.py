"""Settings of the service: defaults that start anywhere, and refusals that say what to do."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from llink_ray.engine import EngineLimits
from llink_ray.errors import LlinkError
from llink_ray.network import is_loopback
from serve.settings import ServeSettings, resolve


def test_the_defaults_fit_a_small_machine() -> None:
    settings = resolve(environment={})
    deployments = settings.deployments
    assert (
        sum(
            d.num_cpus * d.max_replicas
            for d in (deployments.ingress, deployments.encoder_server, deployments.decoder_server)
        )
        <= 2
    )
    assert EngineLimits(**settings.engine.model_dump()) == EngineLimits()
    assert is_loopback(settings.http.host)
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - it goes to replicas


def test_later_layers_win(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("http: {port: 9000}\nlimits: {messages: 3}\n", encoding="utf-8")
    settings = resolve(str(file), ["http.port=9001", "http.cors_origins=[https://a.example]"], {})
    assert settings.http.port == 9001 and settings.limits.messages == 3
    assert settings.http.cors_origins == ("https://a.example",)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("http.prot=1", "unknown setting 'http.prot': did you mean http.port"),
        ("limits.body_byte=1", "limits.body_bytes"),
        ("http.port=0", "http.port = 0: "),
        ("http.root_path=llink", "http.root_path = 'llink': "),
        ("limits.seconds=0", "limits.seconds = 0: "),
        ("limits.max_tokens=16384", "limits.max_tokens is 16384"),
        ("unknown_language=guess", "unknown_language = 'guess': "),
        (
            "deployments.encoder_server.min_replicas=2",
            "deployments.encoder_server.*max_replicas is 1, less than min_replicas = 2",
        ),
        ("deployments.decoder_server.num_gpus=-1", "deployments.decoder_server.num_gpus = -1: "),
        (
            "deployments.reader.num_cpus=1",
            r"deployments\.reader is now deployments\.encoder_server: rename it",
        ),
        (
            "deployments.speaker.num_cpus=1",
            r"deployments\.speaker is now deployments\.decoder_server: rename it",
        ),
        ("http.cors_origins=['*', 'https://a.example']", "'*' alone means every page"),
    ],
)
def test_an_impossible_value_is_a_sentence(assignment: str, expected: str) -> None:
    with pytest.raises(LlinkError, match=expected.replace("'*'", r"'\*'")) as error:
        resolve(assignments=[assignment], environment={})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])  # noqa: S104
def test_an_open_address_wants_a_key(host: str) -> None:
    with pytest.raises(LlinkError, match=r"set keys\.file or the variable LLINK_API_KEYS, or listen on"):
        resolve(assignments=[f"http.host='{host}'"], environment={"LLINK_API_KEYS": " "})
    given: list[tuple[list[str], dict[str, str]]] = [
        (["keys.file=keys.yaml"], {}),
        ([], {"LLINK_API_KEYS": "a-key-that-is-long"}),
        (["keys.environment=MINE"], {"MINE": "a-key-that-is-long"}),
    ]
    for more, environment in given:
        assert resolve(None, [f"http.host='{host}'", *more], environment).http.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)
    resolve(None, [f"http.host='{host}'"], {})


def test_every_setting_is_explained() -> None:
    def check(model: Any) -> None:
        for name, field in model.model_fields.items():
            assert field.description, name
            seen.append(name)
            if isinstance(field.default, BaseModel):
                check(type(field.default))

    seen: list[str] = []
    check(ServeSettings)
    assert {"registry", "port", "patience", "num_gpus"} <= set(seen)
