"""Reading a bundle: believed only when every byte is right."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from bundle_files import edit_index, make_bundle, make_info, python

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import INDEX, REQUIRED, parse_info
from llink_ray.errors import LlinkError
from llink_ray.text.normalisation import FIRST_VERSION, VERSION


@pytest.mark.parametrize("name", [*REQUIRED, INDEX])
def test_one_flipped_bit_anywhere_is_found_and_the_file_named(tmp_path: Path, name: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    original = (bundle / name).read_bytes()
    for position in {0, len(original) // 3, len(original) // 2, len(original) - 2}:
        damaged = bytearray(original)
        damaged[position] ^= 1
        (bundle / name).write_bytes(damaged)
        with pytest.raises(LlinkError, match=re.escape(name)):
            read_bundle(bundle)
    (bundle / name).write_bytes(original)
    read_bundle(bundle)


def test_every_single_byte_of_the_index_counts(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo")
    original = (bundle / INDEX).read_bytes()
    meaning = json.loads(original)
    assert parse_info(original.decode(), "here") == read_bundle(bundle)
    for position in range(0, len(original), 5):
        damaged = bytearray(original)
        damaged[position] ^= 4
        try:
            if json.loads(damaged) == meaning:  # e.g. an upper-case escape: nothing was lost
                continue
        except ValueError:
            pass
        with pytest.raises(LlinkError, match="here"):
            parse_info(damaged.decode(), "here")


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("how", ["deleted", "truncated"])
def test_half_a_copy_is_found(tmp_path: Path, name: str, how: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    content = (bundle / name).read_bytes()
    (bundle / name).unlink()
    if how == "truncated":
        (bundle / name).write_bytes(content[:-1])
    with pytest.raises(LlinkError, match=re.escape(name)):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["a.pt", "a.bin", "lora/adapter_model.BIN", "a.pkl", "a.pickle", "x/a.ckpt"])
def test_a_pickle_is_refused_where_it_is_listed_and_sealed(tmp_path: Path, name: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"\x80\x04.")
    edit_index(bundle, lambda raw: raw["files"].update({name: "0" * 64}))
    with pytest.raises(LlinkError, match=rf"{re.escape(name)}.*pickle"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "lora/../../secret",
        "/etc/passwd",
        "a\\..\\b",
        "C:/x",
        "./slots",
        "lora//x",
        "",
        "..",
        INDEX,
    ],
)
def test_a_listed_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("s")
    bundle = make_bundle(tmp_path / "bo")
    edit_index(bundle, lambda raw: raw["files"].update({name: "0" * 64}))
    with pytest.raises(LlinkError, match="leads out of it") as caught:
        read_bundle(bundle)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_are_refused(tmp_path: Path, kind: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    name = "slots.safetensors" if kind == "file" else "lora"
    (bundle / name).rename(tmp_path / "outside")
    (bundle / name).symlink_to(tmp_path / "outside")
    with pytest.raises(LlinkError, match=rf"{re.escape(name)} .* is a link"):
        read_bundle(bundle)


def test_a_link_to_the_whole_bundle_is_fine(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bo-7", seed=7)
    (tmp_path / "latest").symlink_to(tmp_path / "bo-7")
    assert read_bundle(tmp_path / "latest").seed == 7


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo")
    (bundle / "slots.safetensors").unlink()
    os.mkfifo(bundle / "slots.safetensors")
    with pytest.raises(LlinkError, match=r"slots\.safetensors.*not a plain file"):
        read_bundle(bundle)


def test_another_format_version_says_both_versions(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo")
    edit_index(bundle, lambda raw: raw.update(format_version=99, surprise=1), reseal=False)
    with pytest.raises(LlinkError, match="format version 99, this llink_ray reads 1 and 2"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[]", "format_version"),
        ("[" * 100_000, "not JSON"),
        ('{"language": "bo"}', "format_version"),
        ('{"format_version": 1, "language": "../bo"}', "language"),
    ],
)
def test_an_index_that_is_none(tmp_path: Path, text: str, says: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    (bundle / INDEX).write_text(text)
    with pytest.raises(LlinkError, match=says):
        read_bundle(bundle)


def test_an_unknown_or_changed_field_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo")
    edit_index(bundle, lambda raw: raw.update(surprise=1), reseal=False)
    with pytest.raises(LlinkError, match="surprise"):
        read_bundle(bundle)
    edit_index(bundle, lambda raw: raw.update(seed=raw.pop("surprise") + 8), reseal=False)
    with pytest.raises(LlinkError, match="changed after it was written"):
        read_bundle(bundle)


def test_a_bundle_says_in_which_form_its_text_was(tmp_path: Path) -> None:
    newer = make_bundle(tmp_path / "newer", normalisation=VERSION)
    assert read_bundle(newer).normalisation == VERSION > FIRST_VERSION
    older = make_bundle(tmp_path / "older")  # as all were written before there was a second form
    assert "normalisation" not in json.loads((older / INDEX).read_text())
    assert read_bundle(older).normalisation == FIRST_VERSION
    later = make_bundle(tmp_path / "later", normalisation=VERSION + 1)
    with pytest.raises(LlinkError, match=rf"normal form {VERSION + 1}, this llink_ray writes 1 to {VERSION}"):
        read_bundle(later)


def test_what_is_not_a_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="there is no bundle at"):
        read_bundle(tmp_path / "nothing")
    with pytest.raises(LlinkError, match=f"no {INDEX}"):
        read_bundle(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(LlinkError, match="is a file"):
        read_bundle(tmp_path / "file")


@pytest.mark.parametrize("language", ["../bo", "", "Tibetan", "b", "bo/x", "bo\n"])
def test_a_language_code_is_a_safe_folder_name(language: str) -> None:
    with pytest.raises(ValueError, match="language"):
        make_info(language=language)


def test_no_torch_is_needed_to_verify(tmp_path: Path) -> None:
    code = (
        "import sys; from llink_ray.bundles import bundle, registry; "
        "print(sorted({'torch', 'ray'} & set(sys.modules)))"
    )
    out, err = python(code).communicate(timeout=120)
    assert out.strip() == "[]", err
