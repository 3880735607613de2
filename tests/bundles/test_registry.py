"""The registry: what is published is whole, what answers is clear, and nobody overwrites anybody."""

from __future__ import annotations

import errno
import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_files import make_bundle, python
from pyarrow import fs

from llink_ray.bundles.bundle import INDEX, BundleInfo, read_bundle
from llink_ray.bundles.registry import Registry
from llink_ray.errors import JobFailed, LlinkError

Open = Callable[[], Registry]


def remote(folder: Path) -> Registry:
    """The way of an object store (claims, downloads), on files that a test can damage."""
    return Registry("team/models", fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()))


@pytest.fixture(params=["path", "file uri", "subtree", "memory"])
def open_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """The same registry, opened anew at each call, on four kinds of store."""
    root = tmp_path / "the store"
    root.mkdir()
    if request.param == "memory":
        memory = fs._MockFileSystem()
        return lambda: Registry("models", memory)
    if request.param == "subtree":
        return lambda: remote(root)
    return lambda: Registry(root if request.param == "path" else root.as_uri())


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def publish(registry: Registry, folder: Path, language: str = "bo", **changes: Any) -> str:
    return registry.publish(make_bundle(folder / "made", language=language, **changes)).name


def answers(registry: Registry, language: str = "bo") -> str:
    return registry.resolve(language).name


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


# ---------------------------------------------------------------- damage


def test_a_damaged_bundle_is_not_published(open_registry: Open, bundle: Path) -> None:
    (bundle / "slots.safetensors").write_bytes(b"short")
    with pytest.raises(LlinkError, match=r"slots\.safetensors.*damaged"):
        open_registry().publish(bundle)
    assert open_registry().list() == []


@pytest.mark.parametrize("opened", [Registry, remote])
def test_a_half_uploaded_version_is_never_seen(
    tmp_path: Path, bundle: Path, opened: Callable[[Path], Registry]
) -> None:
    """Killed in the middle: the files lie there, bundle.json (or only its temporary name) does not."""
    root = tmp_path / "r"
    opened(root).publish(bundle)
    (whole,) = [path.parent for path in root.rglob(INDEX)]
    half = whole.with_name("v0002")
    shutil.copytree(whole, half)
    (half / INDEX).rename(half / f"{INDEX}.1a2b3c4d.tmp")
    assert [version.name for version in opened(root).list()] == ["v0001"]
    assert answers(opened(root)) == "v0001"
    with pytest.raises(LlinkError, match="no version v0002"):
        opened(root).fetch("bo", "v0002")
    assert opened(root).publish(bundle).name == "v0003", "the other publisher may still be at work on v0002"


KILLED = """
import os, signal, sys
from pathlib import Path
from llink_ray.bundles.registry import Registry
opened = 0
def hook(event, arguments):
    global opened
    if event == "open" and arguments[0] == sys.argv[2] + "/slots.safetensors":
        opened += 1
        if opened == 2:  # once to verify, once to copy
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
Registry(sys.argv[1]).publish(Path(sys.argv[2]))
"""


def test_a_publisher_killed_half_way(tmp_path: Path, bundle: Path) -> None:
    root = tmp_path / "r"
    Registry(root).publish(bundle)
    process = python(KILLED, root, bundle)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    left = {path.name for path in (root / "bo" / "v0002").rglob("*")}
    assert "projector.safetensors" in left and INDEX not in left, "the kill did not hit the middle"
    assert answers(Registry(root)) == "v0001"
    assert Registry(root).publish(bundle).name == "v0003"
    read_bundle(Registry(root).fetch("bo"))


FULL = """
import resource, sys
from pathlib import Path
from llink_ray.bundles.registry import Registry
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    Registry(sys.argv[1]).publish(Path(sys.argv[2]))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("limit", [100, 3000], ids=["in the tensors", "in bundle.json"])
def test_a_full_disk_while_publishing(tmp_path: Path, bundle: Path, limit: int) -> None:
    root = tmp_path / "r"
    Registry(root).publish(bundle)
    out, err = python(FULL, root, bundle, limit).communicate(timeout=120)
    assert out.startswith("JobFailed could not write to") and "bytes free" in out, (out, err)
    assert str(root / "bo" / "v0002") in out
    assert answers(Registry(root)) == "v0001"
    assert not list(root.rglob("*.tmp")) and not (root / "bo" / "v0002").exists()


class Network(fs.FileSystemHandler):  # type: ignore[misc]
    """A folder behind a network: tests look at each request before it is carried out, and may refuse it."""

    def __init__(self, folder: Path, kind: str = "far") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.inner = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        self.kind = kind
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda request, path: None

    def registry(self) -> Registry:
        return Registry("r", fs.PyFileSystem(self))

    def get_type_name(self) -> str:
        return self.kind

    def get_file_info(self, paths: list[str]) -> Any:
        self._request("get_file_info", *paths)
        return self.inner.get_file_info(paths)

    def get_file_info_selector(self, selector: fs.FileSelector) -> Any:
        self._request("list", selector.base_dir)
        found = self.inner.get_file_info(selector)
        return [item for item in found if self.kind != "s3" or self._holds_a_file(item)]

    def _holds_a_file(self, item: fs.FileInfo) -> bool:
        inside = [item] if item.type == fs.FileType.File else None
        if inside is None:
            inside = self.inner.get_file_info(fs.FileSelector(item.path, recursive=True))
        return any(one.type == fs.FileType.File for one in inside)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool) -> None:
        self._request("delete_dir_contents", path)
        self.inner.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        self._request("write", path)
        if self.kind == "s3":  # folders are there when something is in them
            self.inner.create_dir(path.rpartition("/")[0])
        return self.inner.open_output_stream(path)

    def open_input_stream(self, path: str) -> Any:
        self._request("read", path)
        return self.inner.open_input_stream(path)

    def create_dir(self, path: str, recursive: bool) -> None:
        self._request("create_dir", path)
        self.inner.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        self._request("delete_dir", path)
        self.inner.delete_dir(path)

    def delete_file(self, path: str) -> None:
        self._request("delete_file", path)
        self.inner.delete_file(path)

    def move(self, source: str, target: str) -> None:
        self._request("move", target)
        self.inner.move(source, target)

    def normalize_path(self, path: str) -> str:
        return path

    def _request(self, request: str, *paths: str) -> None:
        for path in paths:
            self.requests.append((request, path))
            self.before(request, path)

    copy_file = delete_root_dir_contents = open_append_stream = open_input_file = None


def refuse(*what: str) -> Callable[[str, str], None]:
    """Lose the connection when a request touches a path with one of these words in it."""

    def before(request: str, path: str) -> None:
        if any(word in path for word in what):
            raise OSError(errno.ENETUNREACH, "Network is unreachable\nwith a second line")

    return before


def test_an_unreachable_store_is_one_sentence(tmp_path: Path, bundle: Path) -> None:
    network = Network(tmp_path / "far")
    network.before = refuse("")
    calls: list[Callable[[Registry], object]] = [
        lambda registry: registry.list(),
        lambda registry: registry.resolve("bo"),
        lambda registry: registry.fetch("bo", cache_dir=tmp_path / "cache"),
        lambda registry: registry.publish(bundle),
        lambda registry: registry.roll_back("bo"),
        lambda registry: registry.remove("bo", "v0001"),
    ]
    for call in calls:
        with pytest.raises(
            JobFailed, match=r"cannot be reached \(.*unreachable.*\): check the address"
        ) as caught:
            call(network.registry())
        assert "\n" not in str(caught.value) and caught.value.exit_code == 1


def test_an_address_that_is_none_says_so_without_its_keys() -> None:
    with pytest.raises(LlinkError, match=r"carrier-pigeon://bucket/x is not an address") as caught:
        Registry("carrier-pigeon://AKIA:hunter2@bucket/x?token=hunter3")
    assert "hunter" not in str(caught.value) and "AKIA" not in str(caught.value)
    assert "hunter" not in Registry("s3://AKIA:hunter2@bucket/x?region=eu-west-1&scheme=https").name


def test_a_registry_that_is_a_file(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LlinkError, match=r"file cannot be reached"):
        Registry(tmp_path / "file").resolve("bo")
    with pytest.raises(LlinkError, match=re.escape(str(tmp_path / "file"))):
        Registry(tmp_path / "file").publish(bundle)


@pytest.mark.parametrize("kind", ["far", "s3"])
@pytest.mark.parametrize("lost_at", ["README.md", "slots.safetensors", INDEX])
def test_a_connection_lost_while_publishing(tmp_path: Path, bundle: Path, kind: str, lost_at: str) -> None:
    network = Network(tmp_path / "far", kind)
    network.registry().publish(bundle)
    network.before = refuse(f"v0002/{lost_at}")
    with pytest.raises(JobFailed, match="cannot be reached"):
        network.registry().publish(bundle)
    assert answers(network.registry()) == "v0001"
    assert not (tmp_path / "far" / "r" / "bo" / "v0002").exists(), "what was uploaded is taken back"
    network.before = refuse("nothing")
    assert network.registry().publish(bundle).current


@pytest.mark.parametrize("kind", ["far", "s3"])
def test_bundle_json_appears_last_and_nothing_after_it(tmp_path: Path, bundle: Path, kind: str) -> None:
    network = Network(tmp_path / "far", kind)
    seen: list[list[str]] = []

    def look(request: str, path: str) -> None:
        if request in ("write", "move", "create_dir"):
            seen.append([version.name for version in remote_at(tmp_path / "far").list()])

    network.before = look
    network.registry().publish(bundle)
    writes = [(request, path) for request, path in network.requests if request in ("write", "move")]
    assert writes[-1] == ("write" if kind == "s3" else "move", f"r/bo/v0001/{INDEX}")
    assert seen and not any(seen), "listed before it was whole"
    assert answers(network.registry()) == "v0001"
    if kind == "s3":
        assert not [path for request, path in network.requests if request == "create_dir"]


def test_a_number_stays_taken_where_empty_folders_vanish(tmp_path: Path, bundle: Path) -> None:
    network = Network(tmp_path / "far", "s3")
    network.registry().publish(bundle)
    network.registry().remove("bo", "v0001")
    assert network.registry().list() == []
    assert network.registry().publish(bundle).name == "v0002"


def test_a_source_that_changes_under_our_hands_is_not_published(tmp_path: Path, bundle: Path) -> None:
    network = Network(tmp_path / "far")

    def retrain(request: str, path: str) -> None:
        if path.endswith("slots.safetensors"):
            (bundle / "slots.safetensors").write_bytes(b"of the next run")

    network.before = retrain
    with pytest.raises(JobFailed, match=r"slots\.safetensors changed while it was read"):
        network.registry().publish(bundle)
    assert network.registry().list() == []


def test_ctrl_c_while_publishing_takes_back_what_was_uploaded(tmp_path: Path, bundle: Path) -> None:
    network = Network(tmp_path / "far")
    network.before = lambda request, path: signal.raise_signal(signal.SIGINT) if "slots" in path else None
    with pytest.raises(KeyboardInterrupt):
        network.registry().publish(bundle)
    assert not (tmp_path / "far" / "r" / "bo" / "v0001").exists()


# ---------------------------------------------------------------- copies of remote bundles


def remote_at(folder: Path) -> Registry:
    return Registry("r", fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()))


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


# ---------------------------------------------------------------- several at once


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


# ---------------------------------------------------------------- hands in the store


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
