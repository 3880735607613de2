"""Settings of the chat: what is refused before anything starts, and secrets that nothing shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from llink_ray.errors import LlinkError
from ui.settings import UiSettings, api_key, logins, resolve

LOGIN = {"LLINK_UI_LOGIN": "tashi:a-long-password, sok: another-long-one "}


def test_the_defaults_listen_on_this_machine_alone() -> None:
    settings = resolve(environment={})
    assert (settings.host, settings.port, settings.votes) == ("127.0.0.1", 7860, None)
    assert api_key(settings, {}) is None and logins(settings, {}) == {}


def test_another_address_wants_a_login() -> None:
    with pytest.raises(LlinkError, match="there is no login"):
        resolve(None, ["host=0.0.0.0"], {})
    assert resolve(None, ["host=0.0.0.0"], LOGIN).host == "0.0.0.0"  # noqa: S104
    assert resolve(None, ["host='::1'"], {}).host == "::1"


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("api=ftp://h", "no address like"),
        ("api=127.0.0.1:8000", "no address like"),
        ("api=http://h:99999", "no address like"),
        ("api=http://user:secret@h", "LLINK_API_KEY"),
        ("api=http://h/?key=1", "no address like"),
        ("root_path=chat", "root_path"),
        ("port=70000", "port"),
        ("concurrent=0", "concurrent"),
        ("theme=dark", "unknown setting"),
    ],
)
def test_what_cannot_be_is_refused(assignment: str, told: str) -> None:
    with pytest.raises(LlinkError, match=told):
        resolve(None, [assignment], {})


def test_a_file_of_settings_and_flags_over_it(tmp_path: Path) -> None:
    file = tmp_path / "chat.yaml"
    file.write_text("api: https://llink.example.org/v1/\nport: 0\n")
    settings = resolve(str(file), ["port=7861"], {})
    assert (settings.api, settings.port) == ("https://llink.example.org/v1", 7861)


def test_the_key_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-the-file\nnever read\n")
    environment = {"LLINK_API_KEY": " from-the-environment "}
    assert api_key(UiSettings(), environment) == "from-the-environment"
    assert api_key(UiSettings(key_file=str(file)), environment) == "from-the-file"


def test_a_key_that_no_header_carries_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(LlinkError) as raised:
        api_key(UiSettings(), {"LLINK_API_KEY": "geheim ü"})
    assert "LLINK_API_KEY" in str(raised.value) and "geheim" not in str(raised.value)
    file = tmp_path / "key"
    for content, told in ((b"", "holds no key"), (b"\xff", "not UTF-8")):
        file.write_bytes(content)
        with pytest.raises(LlinkError, match=told):
            api_key(UiSettings(key_file=str(file)), {})
    with pytest.raises(LlinkError, match="key_file"):
        api_key(UiSettings(key_file=str(tmp_path / "none")), {})


def test_logins_from_the_environment_or_a_file(tmp_path: Path) -> None:
    assert logins(UiSettings(), LOGIN) == {"tashi": "a-long-password", "sok": " another-long-one"}
    file = tmp_path / "logins"
    file.write_text("tashi:with, a comma: and more\n\n")
    assert logins(UiSettings(login_file=str(file)), LOGIN) == {"tashi": "with, a comma: and more"}


@pytest.mark.parametrize(
    ("entry", "told"),
    [("tashi", "not name:password"), (":a-long-password", "not name:password"), ("tashi:short", "openssl")],
)
def test_a_login_that_cannot_be_used_is_not_shown(tmp_path: Path, entry: str, told: str) -> None:
    with pytest.raises(LlinkError, match=told) as raised:
        resolve(None, [], {"LLINK_UI_LOGIN": f"sok:a-long-password,{entry}"})
    assert "entry 2" in str(raised.value) and "short" not in str(raised.value)
    file = tmp_path / "logins"
    file.write_text("\n")
    with pytest.raises(LlinkError, match="no name:password"):
        logins(UiSettings(login_file=str(file)), {})
