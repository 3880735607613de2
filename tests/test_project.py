"""The promises that the project makes about itself: README, Makefile, docs, what is shipped and uploaded."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
MODELS = ("llink_ray/models/tiny/encoder/", "llink_ray/models/tiny/decoder/")
BASE = "llink_ray/models/base/small/"
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Files of the repository, as git has them, that are still there."""
    command = ["git", "-c", "safe.directory=*", "-c", "core.quotepath=off", "ls-files", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def copied(names: list[str], target: Path) -> Path:
    """Files of the repository, somewhere else."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
    return target


@pytest.fixture
def copy(tracked: list[str], tmp_path: Path) -> Path:
    """The repository's files, where a test may leave things."""
    return copied(tracked, tmp_path / "copy")


# README and Makefile ----------------------------------------------------------------------------------


def tree_paths() -> list[str]:
    """Paths of the README's tree: names indented under their folders."""
    block = README.split("## Tree")[1].split("```")[1]
    paths: list[str] = []
    folders: list[str] = []
    for line in block.splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        paths.append("".join(folders[:depth]) + name)
        folders[depth:] = [name]
    return paths


def test_every_path_of_the_tree_exists() -> None:
    paths = tree_paths()
    assert len(paths) > 20
    missing = [p for p in paths if not ((ROOT / p).is_dir() if p.endswith("/") else (ROOT / p).is_file())]
    assert not missing


def test_the_tree_names_every_room(tracked: list[str]) -> None:
    named = set(tree_paths())
    named |= {parent for path in named for parent in (f"{p}/" for p in PurePosixPath(path).parents)}
    dull = {"llink_ray/__init__.py", "llink_ray/py.typed", ".gitignore", ".pre-commit-config.yaml"}
    rooms = set()
    for name in tracked:
        parts = PurePosixPath(name).parts
        depth = 2 if parts[0] == "llink_ray" else 1
        rooms.add("/".join(parts[:depth]) + "/" * (len(parts) > depth))
    assert not rooms - named - dull


def test_every_file_that_a_change_touches_exists() -> None:
    page = (ROOT / "docs/adding.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([a-z_]+(?:/[A-Za-z_0-9.]+)*/[A-Za-z_0-9.]*)`", page)
    assert len(paths) > 20
    assert not [path for path in paths if not (ROOT / path).exists()]


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def told_targets(page: Path) -> set[str]:
    """Targets that a page names as code."""
    code = re.findall(r"```.*?```|`[^`\n]+`", page.read_text(encoding="utf-8"), re.DOTALL)
    return set(re.findall(r"(?:^|[\s`])make ([a-z][a-z-]*)", "\n".join(code), re.MULTILINE))


def test_every_make_target_that_is_told_of_exists() -> None:
    for page in PAGES:
        assert told_targets(page) <= makefile_targets(), page.name
    assert {"demo", "test", "test-slow", "setup", "tiny"} <= told_targets(ROOT / "README.md")


def test_bare_make_lists_the_targets_a_line_each() -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    made = subprocess.run(
        ["make"], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    ).stdout.splitlines()
    assert [line.split()[0] for line in made] == ["make"] * len(made)
    assert {line.split()[1] for line in made} == makefile_targets()
    assert all(len(line.split()) > 3 and len(line) <= 100 for line in made)


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_of_settings_is_current() -> None:
    command = [sys.executable, "docs/write_settings.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# The lock ---------------------------------------------------------------------------------------------


def dependencies() -> list[Requirement]:
    """What pyproject.toml asks for, to run and to develop."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(d) for d in project["dependencies"] + project["optional-dependencies"]["dev"]]


def lock() -> list[str]:
    """Lines of the lock that are no comments, names in their canonical form."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("==") for line in lines if not line.startswith("#")]
    return [f"{canonicalize_name(name)}{sign}{version}" for name, sign, version in pins]


def test_the_lock_pins_versions_and_names_no_place() -> None:
    pins = lock()
    assert len(pins) > 50
    # A local version such as 2.13.0+cpu exists in one index only.
    assert not [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.]+", pin)]
    assert len({pin.split("==")[0] for pin in pins}) == len(pins)


def test_the_lock_satisfies_every_dependency() -> None:
    pins = dict(pin.split("==") for pin in lock())
    for requirement in dependencies():
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert sorted(explained) == sorted(requirement.name for requirement in dependencies())


# Rooms ------------------------------------------------------------------------------------------------


def test_rooms_import_what_is_below_them_alone() -> None:
    """By the contracts of pyproject.toml: no cycles, and Ray at the edge."""
    made = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout
    assert "0 broken" in made.stdout


# What is shipped and uploaded -------------------------------------------------------------------------


def is_pickle(path: Path) -> bool:
    """A pickle of protocol 2 or later, or an archive with one in it, as ``torch.save`` makes."""
    with path.open("rb") as file:
        head = file.read(2)
    if len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= pickle.HIGHEST_PROTOCOL:
        return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".pkl") for name in archive.namelist())


def test_no_tracked_file_is_a_pickle(tracked: list[str], tmp_path: Path) -> None:
    suffixes = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib"}
    assert not [name for name in tracked if PurePosixPath(name).suffix in suffixes]
    assert not [name for name in tracked if is_pickle(ROOT / name)]
    (tmp_path / "a").write_bytes(pickle.dumps([1]))
    with zipfile.ZipFile(tmp_path / "b", "w") as archive:
        archive.writestr("archive/data.pkl", "")
    assert is_pickle(tmp_path / "a") and is_pickle(tmp_path / "b")


LEFTOVERS = (
    ".venv/lib/torch.so",
    ".git/objects/pack",
    "runs/bo-tiny/checkpoint",
    "llink_ray/__pycache__/settings.pyc",
    "llink_ray.egg-info/SOURCES.txt",
    ".mypy_cache/3.11/cache",
    ".pytest_cache/v/cache",
    ".ruff_cache/0/cache",
    ".hypothesis/examples/x",
    "build/lib/x.py",
    "dist/llink_ray.whl",
)


def test_a_submitted_job_uploads_what_it_needs_and_little_else(
    copy: Path, tracked: list[str], tmp_path: Path
) -> None:
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env.packaging import create_package

    for name in LEFTOVERS:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(os.urandom(MEBIBYTE))
    package = tmp_path / "package.zip"
    create_package(str(copy), package, include_gitignore=True, excludes=get_runtime_env_default_excludes())
    with zipfile.ZipFile(package) as archive:
        sent = {entry.filename: entry.compress_size for entry in archive.infolist() if not entry.is_dir()}
    needed = [name for name in tracked if name.startswith(("llink_ray/", "jobs/", "tune_spaces/"))]
    assert not [name for name in needed if name not in sent]
    assert any(name.startswith(MODELS) and name.endswith(".safetensors") for name in sent)
    assert not sent.keys() & set(LEFTOVERS)
    ignored = [name for name in sent if name.startswith(("tests/", "docs/", "benchmarks/", "."))]
    assert set(ignored) <= {".gitignore", ".rayignore"}
    assert sum(size for name, size in sent.items() if not name.startswith((*MODELS, BASE))) < 5 * MEBIBYTE


def test_the_embedded_models_are_small(tracked: list[str]) -> None:
    sizes = [(ROOT / name).stat().st_size for name in tracked if name.startswith(MODELS)]
    assert 1 * MEBIBYTE < sum(sizes) < 12 * MEBIBYTE


def test_the_shared_base_is_whole_and_small(tracked: list[str]) -> None:
    from llink_ray.bundles.base import SHIPPED
    from llink_ray.bundles.bundle import read_bundle

    assert (
        1 * MEBIBYTE < sum((ROOT / n).stat().st_size for n in tracked if n.startswith(BASE)) <= 16 * MEBIBYTE
    )
    info = read_bundle(SHIPPED)  # every file as its hash says
    assert info.language == "mul" and info.encoder.weights and info.commit
    assert not [name for name in info.files if f"{BASE}{name}" not in tracked]


@pytest.fixture(scope="module")
def wheel(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the tracked files."""
    out, tree = tmp_path_factory.mktemp("wheel"), copied(tracked, tmp_path_factory.mktemp("tree"))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    subprocess.run(command, check=True, capture_output=True)  # the wheel is built from the sdist
    (made,) = out.glob("*.whl")
    return made


def test_a_wheel_holds_everything_that_is_read(wheel: Path, tracked: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    packages = ("llink_ray/", "serve/", "ui/", "jobs/", "tune_spaces/")
    assert not [name for name in tracked if name.startswith(packages) and name not in held]
    assert not [name for name in held if name.startswith(("tests/", "docs/", "benchmarks/"))]
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_an_installed_wheel_has_its_commands(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
    ]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "80"}
    command = [sys.executable, str(site / "bin" / "llink-ray")]

    def says(*arguments: str) -> str:
        made = subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return made.stdout

    assert all(name in says("--help") for name in ("train", "evaluate", "tune", "serve", "chat", "models"))
    assert "Usage: llink-ray train" in says("train", "--help")
    assert "Usage: llink-ray chat" in says("chat", "--help")
    where = "import llink_ray, jobs.train, serve.settings; print(llink_ray.__file__, serve.settings.__file__)"
    made = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.count(str(site)) == 2
