"""What other programs leave in a registry or a bundle: told of at most, never read, and never in the way."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundle_files import edit_index, make_bundle
from s3_server import Bucket, bucket

import llink_ray
from llink_ray.bundles.bundle import read_bundle, write_bundle
from llink_ray.bundles.manifest import INDEX
from llink_ray.bundles.registry import Registry
from llink_ray.errors import LlinkError
from llink_ray.models.locate import fingerprint
from llink_ray.storage.paths import is_junk

LEFT = [".DS_Store", "._slots.safetensors", "Thumbs.db", "desktop.ini", ".nfs0000000004a5", "README.md~"]

AS_NOBODY = """
import os, sys
from llink_ray.bundles.bundle import read_bundle
from llink_ray.errors import LlinkError
from llink_ray.bundles.registry import Registry
Registry(sys.argv[2]).list()  # what is imported late may lie where nobody may read
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
root = sys.argv[1]
for ask in (
    lambda: [version.folder for version in Registry(root).list()],
    lambda: [version.folder for version in Registry(root).list("bo")],
    lambda: read_bundle(Registry(root).fetch("bo")).language,
    lambda: Registry(root).list("km"),
):
    try:
        print(ask())
    except LlinkError as error:
        print("refused:", error)
"""


def as_nobody(root: Path) -> list[str]:
    """What somebody sees who may not read everything, as root may."""
    for folder in (root, *root.parents[:2]):  # pytest's own folders are for their owner alone
        folder.chmod(0o755)
    root.parents[2].chmod(0o755)
    places = {"PYTHONPATH": str(Path(llink_ray.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, root, root.parent],
        env=os.environ | places,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_folders_that_nobody_may_read_are_not_looked_into(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    Registry(root).publish(make_bundle(tmp_path / "made"))
    shut = [root / "lost+found", root / ".Trash-0", root / "bo" / ".snapshot", root / "bo" / "v0001" / ".zfs"]
    for folder in shut:
        folder.mkdir(mode=0)
    told = as_nobody(root)
    assert told == ["['bo/v0001']", "['bo/v0001']", "bo", "[]"]


def test_a_language_that_cannot_be_read_is_named_and_leaves_the_others(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    for language in ("bo", "km"):
        Registry(root).publish(make_bundle(tmp_path / "made", language=language))
    (root / "km").chmod(0)
    every, one, loaded, shut = as_nobody(root)
    assert every == one == "['bo/v0001']" and loaded == "bo"
    assert shut.startswith("refused: ") and str(root / "km") in shut and "Permission denied" in shut
    (root / "km").chmod(0o755)
    (root / "km" / "v0001").chmod(0)
    assert as_nobody(root)[3].startswith("refused: "), "never quietly as if it were not there"


def test_stray_files_at_the_root_of_a_registry(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    Registry(root).publish(make_bundle(tmp_path / "made"))
    for name in (*LEFT, "old", "v0002"):  # a file may have a name like a language's code
        (root / name).write_text("x")
        (root / "bo" / name).write_text("x")
    (root / "tmp").symlink_to(root / "tmp")
    assert [version.folder for version in Registry(root).list()] == ["bo/v0001"]
    assert Registry(root).list("old") == []
    assert Registry(root).publish(make_bundle(tmp_path / "made")).name == "v0003"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name in ("http_proxy", "HTTP_PROXY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with bucket() as server:
        yield server


def test_a_bucket_with_strangers_objects(s3: Bucket, tmp_path: Path) -> None:
    assert Registry(s3.uri).list() == []
    assert Registry(s3.uri).publish(make_bundle(tmp_path / "made", seed=1)).name == "v0001"
    s3.objects |= {f"models/lost+found/#{number}": b"x" for number in range(1_500)}
    s3.objects |= {f"models/bo/v0001/checkpoints/{number}": b"x" for number in range(1_500)}
    s3.objects |= {f"models/{name}": b"x" for name in LEFT} | {"models/bo/v0001/.DS_Store": b"x"}
    s3.listed.clear()
    assert [version.folder for version in Registry(s3.uri).list()] == ["bo/v0001"]
    assert len(s3.listed) < 50, "a folder is looked into whose name is no language's or version's"
    assert Registry(s3.uri).publish(make_bundle(tmp_path / "made", seed=2)).name == "v0002"
    assert Registry(s3.uri).resolve("bo").name == "v0002"
    fetched = Registry(s3.uri).fetch("bo", "v0001", cache_dir=tmp_path / "cache")
    assert read_bundle(fetched).seed == 1 and not (fetched / ".DS_Store").exists()
    assert Registry(s3.uri).roll_back("bo").name == "v0001"
    Registry(s3.uri).remove("bo", "v0002")
    assert Registry(s3.uri).publish(make_bundle(tmp_path / "made", seed=3)).name == "v0003"


@pytest.mark.parametrize(
    "name", [*LEFT, "notes.txt", "lora/.x.swp", "lora/adapter_model.bin", "more/deep.pt"]
)
def test_a_bundle_tells_of_what_it_does_not_list(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = make_bundle(tmp_path / "bo", seed=4)
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("x")
    with caplog.at_level(logging.WARNING):
        assert read_bundle(bundle).seed == 4
    told = name if name.startswith("lora") else name.split("/")[0]
    assert caplog.messages == [f"ignored in the bundle {bundle}, whose {INDEX} does not list them: {told}"]


def test_links_and_pipes_beside_a_bundles_files_are_not_opened(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo")
    os.mkfifo(bundle / "pipe")
    (bundle / "loop").symlink_to(bundle)
    assert read_bundle(bundle).language == "bo"


def test_what_a_bundle_lists_is_never_ignored(tmp_path: Path) -> None:
    """Also where its name looks like what desktops leave."""

    bundle = make_bundle(tmp_path / "bo")
    edit_index(bundle, lambda raw: raw["files"].update({".hidden": "0" * 64}))
    with pytest.raises(LlinkError, match=r"\.hidden is missing"):
        read_bundle(bundle)
    (bundle / ".hidden").write_text("x")
    with pytest.raises(LlinkError, match=r"\.hidden .* is damaged"):
        read_bundle(bundle)


def test_leftovers_do_not_get_into_a_new_bundle(tmp_path: Path) -> None:
    from bundle_files import make_info, write_files

    def with_leftovers(folder: Path) -> None:
        write_files(folder)
        for name in LEFT:
            (folder / name).write_text("x")
            (folder / "lora" / name).write_text("x")

    (tmp_path / "bo").mkdir()
    (tmp_path / "bo" / ".DS_Store").write_text("x")
    written = write_bundle(tmp_path / "bo", make_info(), with_leftovers)
    assert not any(is_junk(Path(name).name) for name in read_bundle(written).files)


def test_a_models_fingerprint_is_that_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("weights")
    before = fingerprint(str(tmp_path), None, "encoder")
    for name in LEFT:
        (tmp_path / name).write_text("x")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "lost+found" / "#1").write_text("x")
    assert fingerprint(str(tmp_path), None, "encoder") == before
    (tmp_path / "config.json").write_text("{}")
    assert fingerprint(str(tmp_path), None, "encoder") != before


@pytest.mark.parametrize("name", ["README.md", "v0001", "bo", "adapter_model.safetensors", "a.b~c", "thumbs"])
def test_names_that_are_somebodys_data(name: str) -> None:
    assert not is_junk(name)
