"""Files and directories that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from llink_ray.errors import JobFailed
from llink_ray.storage.atomic import atomic_directory, atomic_file, write_atomic


def test_a_file_takes_its_place_when_it_is_done(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_atomic(path, "ཁང་པ")
    with atomic_file(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_text("utf-8") == "ཁང་པ"
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_directory_in_the_place_of_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "a.json", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("first_wins", [False, True])
def test_a_directory_appears_whole_and_the_first_may_win(tmp_path: Path, first_wins: bool) -> None:
    target = tmp_path / "bundle"
    for content in ("one", "two"):
        with atomic_directory(target, "the bundle", "elsewhere", first_wins=first_wins) as folder:
            (folder / "a").write_text(content)
    assert (target / "a").read_text() == ("one" if first_wins else "two")
    assert list(tmp_path.iterdir()) == [target]


def test_a_refused_write_is_a_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(JobFailed, match=r"could not write the bundle .*bytes free there\): .*elsewhere"),
        atomic_directory(tmp_path / "bundle", "the bundle", "look elsewhere") as folder,
    ):
        (folder / "no" / "such").write_text("x")
    assert not list(tmp_path.iterdir())
