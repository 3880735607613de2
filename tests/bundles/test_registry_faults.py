"""Publishing when something fails: what is published is whole."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_files import python
from registry_stores import Network, Open, answers, refuse, remote, remote_at

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import INDEX
from llink_ray.bundles.registry import Registry
from llink_ray.errors import JobFailed, LlinkError


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
