"""Keys: who they let in, what is refused at the start, and that nothing ever shows one."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llink_ray.errors import LlinkError
from serve.errors import ApiError
from serve.key_files import load
from serve.keys import ANONYMOUS, ApiKey, Caller, KeyRing, digest_of
from serve.settings import ServeSettings

ADA, BOB = "ada-has-a-long-key", "bob-has-a-long-key"
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=16, max_size=40)


def settings(file: Path | None = None, **limits: Any) -> ServeSettings:
    return ServeSettings.model_validate({"keys": {"file": file and str(file)}, "limits": limits})


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "keys.yaml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def ring(tmp_path: Path, text: str, now: datetime | None = None, **limits: Any) -> KeyRing:
    return load(settings(written(tmp_path, text), **limits), {}, lambda: now or datetime.now(UTC))


def refused(keys: KeyRing, header: str | None) -> str | None:
    with pytest.raises(ApiError) as error:
        keys.authenticate(header)
    assert error.value.status == 401 and error.value.type == "authentication_error"
    return error.value.code


def test_without_keys_everybody_is_anonymous() -> None:
    assert KeyRing().authenticate(None) == ANONYMOUS
    keys = load(settings(requests_per_minute=5), {})
    assert keys.authenticate("Bearer whatever") == Caller("anonymous", 5, None) and len(keys) == 0


def test_keys_of_a_file(tmp_path: Path) -> None:
    digest = hashlib.sha256(BOB.encode()).hexdigest()
    text = f"- {{name: ada, key: {ADA}, requests_per_minute: 7}}\n- {{name: bob, sha256: {digest}}}\n"
    keys = ring(tmp_path, text, requests_per_minute=9, concurrent=2)
    assert keys.authenticate(f"Bearer {ADA}") == Caller("ada", 7, 2)
    assert keys.authenticate(f"BEARER   {BOB} ") == Caller("bob", 9, 2)
    for header in (None, "", "Bearer", "Bearer ", f"Basic {ADA}", ADA, f"Bearer {ADA}x", f"Bearer {digest}"):
        assert refused(keys, header) == "invalid_api_key"


def test_a_key_that_looks_like_a_number_is_its_letters(tmp_path: Path) -> None:
    keys = ring(tmp_path, "- {name: 007, key: 01234567890123456789}")
    assert keys.authenticate("Bearer 01234567890123456789").name == "007"


def test_keys_of_the_environment() -> None:
    environment = {"LLINK_API_KEYS": f" ada:{ADA} , bob:{BOB}:with:colons,", "LLINK_ADMIN_KEY": "x" * 16}
    keys = load(settings(), environment)
    assert keys.authenticate(f"Bearer {ADA}").name == "ada"
    assert keys.authenticate(f"Bearer {BOB}:with:colons").name == "bob"
    assert load(settings(), {"LLINK_API_KEYS": ADA}).authenticate(f"Bearer {ADA}").name == "env-1"


@pytest.mark.parametrize(
    ("expires", "now", "over"),
    [
        ("2026-05-01", "2026-05-01T23:59:59+00:00", False),
        ("2026-05-01", "2026-05-02T00:00:00+00:00", True),
        ("2026-05-01 12:00:00", "2026-05-01T11:59:59+00:00", False),
        ("2026-05-01 12:00:00", "2026-05-01T12:00:00+00:00", True),
        ("2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00+00:00", True),
    ],
)
def test_a_key_that_is_over(tmp_path: Path, expires: str, now: str, over: bool) -> None:
    keys = ring(tmp_path, f"- {{name: ada, key: {ADA}, expires: {expires}}}", datetime.fromisoformat(now))
    if over:
        assert refused(keys, f"Bearer {ADA}") == "expired_api_key"
        assert refused(keys, f"Bearer {BOB}") == "invalid_api_key"
    else:
        assert keys.authenticate(f"Bearer {ADA}").name == "ada"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {name: ada, key: swordfish}", "key 1 of .* has 9 characters, and 16 are the fewest"),
        ("- {name: ada, key: ''}", "key 1 of .* is empty"),
        ("- {name: ada, key: 'swordfish swordfish'}", "blanks or letters"),
        ("- {name: ada, key: swordfish-swordfish-é}", "blanks or letters"),
        ("- {name: ada, key: [swordfish-swordfish]}", "key 1 of .*: key: .*valid string"),
        ("- {name: ada}", "either key or sha256"),
        ("- {name: ada, key: swordfish-swordfish, sha256: aa}", "either key or sha256"),
        ("- {name: ada, sha256: swordfish-swordfish}", "64 hexadecimal digits"),
        ("- {key: swordfish-swordfish}", "key 1 of .*: name: "),
        ("- {name: 'ada ada', key: swordfish-swordfish}", "the name of key 1"),
        (
            "- {name: ada, key: swordfish-swordfish, expire: 2026-01-01}",
            "unknown setting 'expire': did you mean",
        ),
        ("- {name: ada, key: swordfish-swordfish, expires: soon}", "key 1 of .*: expires"),
        ("- {name: ada, key: swordfish-swordfish, concurrent: 0}", "key 1 of .*: concurrent: "),
        (
            "- {name: ada, key: swordfish-swordfish}\n- {name: ada, key: swordfish-swordfish-2}",
            "two API keys are named 'ada'",
        ),
        (
            "- {name: ada, key: swordfish-swordfish}\n- {name: bob, key: swordfish-swordfish}",
            "'ada' and 'bob' are the same",
        ),
        ("- swordfish-swordfish", "is not a mapping"),
        ("ada: swordfish-swordfish", "must be a list"),
        ("- {name: ada, key: [swordfish-swordfish", r"not YAML \(line 1\)"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LlinkError, match=said) as error:
        ring(tmp_path, text)
    assert "swordfish" not in str(error.value) and "\n" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="cannot be read"):
        load(settings(tmp_path / "none.yaml"), {})


def test_a_file_that_others_can_read_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = written(tmp_path, f"- {{name: ada, key: {ADA}}}")
    with caplog.at_level(logging.WARNING):
        load(settings(file), {})
        assert not caplog.records
        file.chmod(0o644)
        load(settings(file), {})
    assert "chmod 600" in caplog.text and ADA not in caplog.text


@pytest.mark.parametrize(
    "value", ["short", "ada:short", f"a b:{ADA}", f":{ADA}", f"{ADA},{ADA}", f"ada:{ADA} x"]
)
def test_an_environment_that_cannot_be_used(value: str) -> None:
    with pytest.raises(LlinkError) as error:
        load(settings(), {"LLINK_API_KEYS": value})
    assert ADA not in str(error.value) and "short" not in str(error.value)


def test_an_open_address_wants_a_key_that_is_there(tmp_path: Path) -> None:
    opened = {"http": {"host": "0.0.0.0"}, "keys": {"file": str(written(tmp_path, "[]"))}}  # noqa: S104
    with pytest.raises(LlinkError, match=r"there is no key in .*keys\.yaml"):
        load(ServeSettings.model_validate(opened), {})
    assert len(load(ServeSettings.model_validate(opened), {"LLINK_API_KEYS": ADA})) == 1


def test_the_admin_key_opens_the_admin_endpoints_alone() -> None:
    environment = {"LLINK_API_KEYS": f"ada:{ADA}", "LLINK_ADMIN_KEY": BOB}
    keys = load(settings(), environment)
    keys.require_admin(f"Bearer {BOB}")
    for header, status in ((None, 401), (f"Bearer {ADA}", 403)):
        with pytest.raises(ApiError) as error:
            keys.require_admin(header)
        assert error.value.status == status
    assert refused(keys, f"Bearer {BOB}") == "invalid_api_key"
    with pytest.raises(ApiError, match="LLINK_ADMIN_KEY") as error:
        load(settings(), {}).require_admin(f"Bearer {BOB}")
    assert error.value.status == 403
    with pytest.raises(LlinkError, match="'ada' is the admin key too"):
        load(settings(), {"LLINK_API_KEYS": f"ada:{ADA}", "LLINK_ADMIN_KEY": ADA})
    with pytest.raises(LlinkError, match="the admin key in LLINK_ADMIN_KEY has 5"):
        load(settings(), {"LLINK_ADMIN_KEY": "short"})


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.lists(visible, min_size=1, max_size=6, unique=True), st.text(max_size=40))
def test_each_key_is_its_own_and_nothing_shows_it(secrets: list[str], other: str) -> None:
    entries = [ApiKey(Caller(f"n{i}"), digest_of(secret)) for i, secret in enumerate(secrets)]
    keys = KeyRing(entries)
    for i, secret in enumerate(secrets):
        assert keys.authenticate(f"Bearer {secret}").name == f"n{i}"
        assert secret not in repr(keys) and secret not in repr(entries)
    assert repr(entries[0].digest) not in repr(entries)
    if other.strip() not in secrets:
        refused(keys, f"Bearer {other}")


def test_all_keys_are_compared_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    compared: list[bytes] = []
    real = hmac.compare_digest

    def recorded(a: bytes, b: bytes) -> bool:
        compared.append(a)
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", recorded)
    keys = KeyRing([ApiKey(Caller("ada"), digest_of(ADA)), ApiKey(Caller("bob"), digest_of(BOB))])
    for key in (ADA, BOB, "another"):
        compared.clear()
        try:
            keys.authenticate(f"Bearer {key}")
        except ApiError:
            assert key == "another"
        assert compared == [digest_of(ADA), digest_of(BOB)]
