"""Local copies of bundles in a remote registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundle_files import python
from registry_stores import Network, publish, refuse, remote

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import INDEX, BundleInfo
from llink_ray.bundles.registry import Registry
from llink_ray.errors import JobFailed, LlinkError


def test_a_local_registry_gives_its_own_directory(tmp_path: Path, bundle: Path) -> None:
    Registry(tmp_path / "r").publish(bundle)
    assert Registry(tmp_path / "r").fetch("bo", cache_dir=tmp_path / "c") == tmp_path / "r" / "bo" / "v0001"
    assert not (tmp_path / "c").exists()


def test_a_remote_bundle_is_downloaded_once(tmp_path: Path, bundle: Path) -> None:
    network = Network(tmp_path / "far")
    network.registry().publish(bundle)
    cache = tmp_path / "cache"
    first = network.registry().fetch("bo", cache_dir=cache)
    network.before = refuse("safetensors")
    assert network.registry().fetch("bo", cache_dir=cache) == first
    with pytest.raises(JobFailed):
        network.registry().fetch("bo", cache_dir=tmp_path / "another cache")
    assert [path.name for path in cache.iterdir()] == [first.name]


def test_a_damaged_copy_is_downloaded_again(tmp_path: Path, bundle: Path) -> None:
    remote(tmp_path / "far").publish(bundle)
    copy = remote(tmp_path / "far").fetch("bo", cache_dir=tmp_path / "cache")
    (copy / "slots.safetensors").write_bytes(b"rotten")
    assert remote(tmp_path / "far").fetch("bo", cache_dir=tmp_path / "cache") == copy
    read_bundle(copy)


def test_two_registries_share_a_cache_and_not_their_bundles(tmp_path: Path) -> None:
    for seed in (1, 2):
        publish(remote(tmp_path / f"far{seed}"), tmp_path, seed=seed)
    seeds = [
        read_bundle(remote(tmp_path / f"far{seed}").fetch("bo", cache_dir=tmp_path / "cache")).seed
        for seed in (1, 2)
    ]
    assert seeds == [1, 2]


def test_damage_in_the_registry_names_file_and_place_and_keeps_nothing(tmp_path: Path, bundle: Path) -> None:
    remote(tmp_path / "far").publish(bundle)
    (published,) = (tmp_path / "far").rglob("slots.safetensors")
    published.write_bytes(published.read_bytes()[:-1] + b"!")
    with pytest.raises(LlinkError, match=r"slots\.safetensors.*team/models/bo/v0001 is damaged"):
        remote(tmp_path / "far").fetch("bo", cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_published_index_cannot_write_outside_the_cache(tmp_path: Path, bundle: Path) -> None:
    remote(tmp_path / "far").publish(bundle)
    (index,) = (tmp_path / "far").rglob(INDEX)
    raw = json.loads(index.read_text())
    raw["files"]["../../../evil"] = "0" * 64
    raw["digest"] = BundleInfo.model_validate(raw).computed_digest()
    index.write_text(json.dumps(raw))
    with pytest.raises(LlinkError, match=r"evil.*leads out of it"):
        remote(tmp_path / "far").fetch("bo", cache_dir=tmp_path / "cache")
    assert not list(tmp_path.rglob("evil"))


def test_without_a_cache_folder_the_users_own_is_taken(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    remote(tmp_path / "far").publish(bundle)
    assert (tmp_path / "xdg") in remote(tmp_path / "far").fetch("bo").parents


FULL_CACHE = """
import resource, sys
from pathlib import Path
from pyarrow import fs
from llink_ray.bundles.registry import Registry
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    Registry("team/models", fs.SubTreeFileSystem(sys.argv[1], fs.LocalFileSystem())).fetch(
        "bo", cache_dir=Path(sys.argv[2]))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_in_the_cache(tmp_path: Path, bundle: Path) -> None:
    remote(tmp_path / "far").publish(bundle)
    out, err = python(FULL_CACHE, tmp_path / "far", tmp_path / "cache").communicate(timeout=120)
    assert out.startswith("JobFailed could not write the copy of the bundle"), (out, err)
    assert str(tmp_path / "cache") in out and "bytes free" in out
    assert list((tmp_path / "cache").iterdir()) == []
