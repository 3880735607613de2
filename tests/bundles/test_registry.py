"""The registry: what answers is clear, on every kind of store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from registry_stores import Open, answers, publish

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import INDEX
from llink_ray.bundles.registry import Registry
from llink_ray.errors import LlinkError


def test_the_newest_answers_and_all_are_listed(open_registry: Open, tmp_path: Path) -> None:
    assert open_registry().list() == []
    assert publish(open_registry(), tmp_path, seed=1) == "v0001"
    assert publish(open_registry(), tmp_path, seed=2) == "v0002"
    assert publish(open_registry(), tmp_path, language="km") == "v0001"
    listed = [(version.language, version.name, version.current) for version in open_registry().list()]
    assert listed == [("bo", "v0001", False), ("bo", "v0002", True), ("km", "v0001", True)]
    assert [version.name for version in open_registry().list("bo")] == ["v0001", "v0002"]
    assert open_registry().list("am") == []
    newest = open_registry().resolve("bo")
    assert (newest.name, newest.current, open_registry().info(newest).seed) == ("v0002", True, 2)
    assert open_registry().resolve("bo", "v0001").name == "v0001"


def test_fetch_gives_a_directory_that_verifies(open_registry: Open, tmp_path: Path) -> None:
    publish(open_registry(), tmp_path, seed=1)
    publish(open_registry(), tmp_path, seed=2)
    cache = tmp_path / "cache"
    assert read_bundle(open_registry().fetch("bo", cache_dir=cache)).seed == 2
    assert read_bundle(open_registry().fetch("bo", "v0001", cache_dir=cache)).seed == 1


def test_roll_back_pins_until_something_newer_is_published(open_registry: Open, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        publish(open_registry(), tmp_path, seed=seed)
    assert open_registry().roll_back("bo").name == "v0002"
    assert answers(open_registry()) == "v0002"
    assert open_registry().roll_back("bo").name == "v0001"
    rolled = open_registry().roll_back("bo", to="v0003")
    assert (rolled.name, rolled.current) == ("v0003", True)
    open_registry().roll_back("bo", to="v0001")
    assert [version.current for version in open_registry().list("bo")] == [True, False, False]
    cache = tmp_path / "cache"
    assert read_bundle(open_registry().fetch("bo", cache_dir=cache)).seed == 1
    assert publish(open_registry(), tmp_path, seed=4) == "v0004"
    assert answers(open_registry()) == "v0004"


def test_roll_back_of_one_language_leaves_the_others(open_registry: Open, tmp_path: Path) -> None:
    for language in ("bo", "bo", "km", "km"):
        publish(open_registry(), tmp_path, language=language)
    open_registry().roll_back("bo")
    assert (answers(open_registry(), "bo"), answers(open_registry(), "km")) == ("v0001", "v0002")


def test_nothing_to_roll_back_to(open_registry: Open, tmp_path: Path) -> None:
    publish(open_registry(), tmp_path)
    with pytest.raises(LlinkError, match="v0001 is the oldest"):
        open_registry().roll_back("bo")
    with pytest.raises(LlinkError, match=r"no version v0009 for bo.*v0001"):
        open_registry().roll_back("bo", to="v0009")
    with pytest.raises(LlinkError, match="nothing is published for km"):
        open_registry().roll_back("km")
    assert answers(open_registry()) == "v0001"


def test_remove(open_registry: Open, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        publish(open_registry(), tmp_path, seed=seed)
    with pytest.raises(LlinkError, match="v0003 answers for bo"):
        open_registry().remove("bo", "v0003")
    open_registry().remove("bo", "v0001")
    assert [version.name for version in open_registry().list("bo")] == ["v0002", "v0003"]
    with pytest.raises(LlinkError, match=r"no version v0001.*v0002, v0003"):
        open_registry().remove("bo", "v0001")
    open_registry().roll_back("bo")
    open_registry().remove("bo", "v0003")
    assert answers(open_registry()) == "v0002"
    assert publish(open_registry(), tmp_path) == "v0004", "a number must not come to mean another bundle"
    assert answers(open_registry()) == "v0004"


def test_the_last_version_can_be_removed_and_its_number_stays_taken(
    open_registry: Open, tmp_path: Path
) -> None:
    publish(open_registry(), tmp_path)
    open_registry().remove("bo", "v0001")
    with pytest.raises(LlinkError, match="nothing is published for bo"):
        open_registry().resolve("bo")
    assert publish(open_registry(), tmp_path) == "v0002"


def test_unknown_language_or_version_names_what_there_is(open_registry: Open, tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="which is empty"):
        open_registry().resolve("bo")
    publish(open_registry(), tmp_path, language="bo")
    publish(open_registry(), tmp_path, language="km")
    with pytest.raises(
        LlinkError, match=r"nothing is published for am .*which has bo, km.*--lang=am"
    ) as caught:
        open_registry().resolve("am")
    assert caught.value.exit_code == 2
    with pytest.raises(LlinkError, match=r"no version v0007 for km: it has v0001"):
        open_registry().fetch("km", "v0007")


@pytest.mark.parametrize("language", ["", ".", "..", "../bo", "/", "bo/v0001", "claims", "*"])
def test_a_language_that_is_a_path_finds_nothing(open_registry: Open, tmp_path: Path, language: str) -> None:
    publish(open_registry(), tmp_path)
    with pytest.raises(LlinkError, match="nothing is published for"):
        open_registry().resolve(language)


def test_numbers_sort_as_numbers(tmp_path: Path, bundle: Path) -> None:
    for number in ("v9999", "v10000"):
        shutil.copytree(bundle, tmp_path / "r" / "bo" / number)
    registry = Registry(tmp_path / "r")
    assert registry.resolve("bo").name == "v10000"
    assert registry.publish(bundle).name == "v10001"


def test_a_damaged_pin_says_what_to_do(tmp_path: Path) -> None:
    root = tmp_path / "r"
    for seed in (1, 2):
        publish(Registry(root), tmp_path, seed=seed)
    Registry(root).roll_back("bo")
    for content in ("", "{}", "[]", '{"version": "x", "newest": 2}'):
        (root / "bo" / "current.json").write_text(content)
        with pytest.raises(LlinkError, match=r"current\.json of bo.*damaged: delete it"):
            Registry(root).resolve("bo")
    (root / "bo" / "current.json").unlink()
    assert answers(Registry(root)) == "v0002"


def test_a_pinned_version_deleted_by_hand_is_not_silently_replaced(tmp_path: Path) -> None:
    root = tmp_path / "r"
    for seed in (1, 2, 3):
        publish(Registry(root), tmp_path, seed=seed)
    Registry(root).roll_back("bo", to="v0002")
    shutil.rmtree(root / "bo" / "v0002")
    with pytest.raises(LlinkError, match=r"rolled back to is gone.*v0001, v0003"):
        Registry(root).resolve("bo")
    Registry(root).roll_back("bo", to="v0001")
    assert answers(Registry(root)) == "v0001"


def test_other_files_in_the_store_do_not_matter(tmp_path: Path, bundle: Path) -> None:
    root = tmp_path / "r"
    (root / "bo" / "notes").mkdir(parents=True)
    (root / "bo" / "notes" / INDEX).write_text("{}")
    (root / "README").write_text("ours")
    shutil.copytree(bundle, root / "Backup of bo" / "v0001")
    registry = Registry(root)
    assert registry.publish(bundle).name == "v0001"
    assert [(version.language, version.name) for version in registry.list()] == [("bo", "v0001")]


def test_a_relative_path_and_a_home_path(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Registry("r").publish(bundle)
    assert Registry(Path("r")).fetch("bo") == tmp_path / "r" / "bo" / "v0001"
    assert answers(Registry("~/r")) == "v0001"
    assert Registry("r").resolve("bo").location == str(tmp_path / "r" / "bo" / "v0001")
