"""Several publishers at once: nobody overwrites anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bundle_files import python
from registry_stores import Network, answers, publish, remote, remote_at

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.registry import Registry

PUBLISHER = """
import sys, time
from pathlib import Path
from pyarrow import fs
from bundle_files import make_bundle
from llink_ray.bundles.registry import Registry
root, mode, work, seed = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
bundles = [make_bundle(work / f"{seed + i}", seed=seed + i) for i in range(5)]
if mode == "local":
    registry = Registry(root)
else:
    registry = Registry("team/models", fs.SubTreeFileSystem(str(root), fs.LocalFileSystem()))
(work / f"ready-{seed}").touch()
while len(list(work.glob("ready-*"))) < 2:
    time.sleep(0.001)
for bundle in bundles:
    print(registry.publish(bundle).name, flush=True)
"""


@pytest.mark.parametrize("mode", ["local", "remote"])
def test_two_processes_publish_at_once_and_both_get_everything_in(tmp_path: Path, mode: str) -> None:
    root, work = tmp_path / "r", tmp_path / "work"
    root.mkdir()
    work.mkdir()
    processes = [python(PUBLISHER, root, mode, work, seed) for seed in (100, 200)]
    printed = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    registry = Registry(root) if mode == "local" else remote(root)
    listed = [version.name for version in registry.list("bo")]
    told = [name for out, _ in printed for name in out.split()]
    assert sorted(told) == sorted(listed) and len(set(told)) == 10
    fetched = [registry.fetch("bo", name, cache_dir=tmp_path / "cache") for name in listed]
    assert sorted(read_bundle(path).seed for path in fetched) == [*range(100, 105), *range(200, 205)]
    assert answers(registry) == listed[-1]


@pytest.mark.parametrize("moment", ["before my claim", "after my claim"])
def test_a_rival_for_the_same_number(tmp_path: Path, moment: str) -> None:
    """Both saw the same newest number; whichever way they interleave, both end up with their own."""
    far = tmp_path / "far"
    network = Network(far)
    rivals: list[str] = []

    def rival(request: str, path: str) -> None:
        mine = "write" if moment == "before my claim" else "list"
        if request == mine and path.startswith("r/bo/claims/v0001") and not rivals:
            rivals.append("")
            rivals[0] = publish(remote_at(far), tmp_path / "rival", seed=2)

    network.before = rival
    mine = publish(network.registry(), tmp_path / "mine", seed=1)
    assert rivals[0] and rivals[0] != mine
    seeds = {version.name: network.registry().info(version).seed for version in network.registry().list()}
    assert seeds == {mine: 1, rivals[0]: 2}


def test_a_rival_for_the_same_number_on_a_local_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rival takes the number between my look at the newest and my mkdir."""
    root = tmp_path / "r"
    mkdir = Path.mkdir
    rivals: list[str] = []

    def slow(self: Path, *arguments: Any, **options: Any) -> None:
        if self == root / "bo" / "v0001" and not rivals:
            rivals.append("")
            rivals[0] = publish(Registry(root), tmp_path / "rival", seed=2)
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", slow)
    assert publish(Registry(root), tmp_path / "mine", seed=1) == "v0002"
    seeds = {version.name: Registry(root).info(version).seed for version in Registry(root).list()}
    assert seeds == {"v0001": 2, "v0002": 1} and rivals == ["v0001"]


def test_a_roll_back_between_two_publishers_holds_until_something_newer(tmp_path: Path, bundle: Path) -> None:
    """A publisher that took its number before the roll back, and is not newer than what it knew, loses."""
    registry = Registry(tmp_path / "r")
    for _ in range(3):
        registry.publish(bundle)
    late = tmp_path / "r" / "bo" / "v0002"
    late.rename(tmp_path / "late")
    registry.roll_back("bo", to="v0001")
    (tmp_path / "late").rename(late)
    assert answers(registry) == "v0001"
