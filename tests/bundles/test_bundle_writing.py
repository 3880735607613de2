"""Writing a bundle: whole or absent, and nothing of the trainer's machine in it."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_files import METRICS, files_of, make_bundle, make_info, names, python, write_files
from safetensors.numpy import load_file

from llink_ray.bundles.bundle import read_bundle, write_bundle
from llink_ray.bundles.manifest import INDEX, REQUIRED, ModelInfo, project_commit
from llink_ray.bundles.model_card import model_card
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.settings import Settings


def test_written_bundle_reads_back_with_everything_it_was_given(tmp_path: Path) -> None:
    settings = Settings(seed=7)
    bundle = make_bundle(tmp_path / "new" / "bo", seed=7, settings=settings.model_dump(), parent="p" * 64)
    info = read_bundle(bundle)
    assert set(info.files) == set(REQUIRED)
    assert (info.language, info.seed, info.slots.count, info.parent) == ("bo", 7, 8, "p" * 64)
    assert Settings.model_validate(info.settings) == settings
    assert info.created.utcoffset() is not None
    assert {"python", "torch", "transformers", "peft"} <= set(info.packages)
    assert load_file(bundle / "slots.safetensors")["weight"].shape == (64,)
    assert names(bundle.parent) == ["bo"]


def test_the_commit_of_this_checkout() -> None:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    commit = project_commit()
    assert (commit or "").removesuffix("-dirty") == head.stdout.strip()


def test_two_writes_of_the_same_thing_have_the_same_digest_and_another_seed_another(tmp_path: Path) -> None:
    info = make_info()
    same = [read_bundle(write_bundle(tmp_path / name, info, write_files)).digest for name in "ab"]
    other = read_bundle(write_bundle(tmp_path / "c", info.model_copy(update={"seed": 1}), write_files)).digest
    assert same[0] == same[1] != other


def test_a_bundle_is_replaced_by_a_bundle_and_nothing_of_the_old_one_stays(tmp_path: Path) -> None:
    def with_plot(directory: Path) -> None:
        write_files(directory)
        (directory / "loss.png").write_bytes(b"png")

    bundle = write_bundle(tmp_path / "bo", make_info(seed=1), with_plot)
    assert "loss.png" in read_bundle(bundle).files
    make_bundle(bundle, seed=2)
    assert read_bundle(bundle).seed == 2
    assert names(tmp_path) == ["bo"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_other_peoples_files_are_not_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "thesis"
    if kind == "folder":
        target.mkdir()
        (target / "chapter.txt").write_text("years of work")
    else:
        target.write_text("years of work")
    with pytest.raises(LlinkError, match=r"thesis exists and is not a bundle.*--output"):
        make_bundle(target)
    assert (target / "chapter.txt" if kind == "folder" else target).read_text() == "years of work"
    assert names(tmp_path) == ["thesis"]


def disk_full(directory: Path) -> None:
    write_files(directory)
    (directory / "slots.safetensors").unlink()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory / "slots.safetensors"))


def device_full(directory: Path) -> None:
    write_files(directory)
    Path("/dev/full").write_bytes(b"the kernel's own ENOSPC")


def read_only(directory: Path) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory / "x"))


@pytest.mark.parametrize(
    ("fault", "advice"),
    [(disk_full, "free some space"), (device_full, "free some space"), (read_only, "writable")],
)
@pytest.mark.parametrize("existing", [False, True])
def test_a_refusing_disk_leaves_no_trace_and_a_sentence(
    tmp_path: Path, fault: Callable[[Path], None], advice: str, existing: bool
) -> None:
    bundle = tmp_path / "bo"
    if existing:
        make_bundle(bundle, seed=1)
    before = files_of(tmp_path)
    with pytest.raises(JobFailed) as caught:
        write_bundle(bundle, make_info(seed=2), fault)
    message = str(caught.value)
    assert str(bundle) in message and advice in message and "--output" in message
    assert re.search(r"[\d,]+ bytes free", message)
    assert caught.value.exit_code == 1
    assert files_of(tmp_path) == before
    assert names(tmp_path) == (["bo"] if existing else [])


LIMITED = """
import resource, sys
from pathlib import Path
from bundle_files import make_info, write_files
from llink_ray.bundles.bundle import write_bundle
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    write_bundle(Path(sys.argv[1]), make_info(seed=2), write_files)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("limit", [100, 3000], ids=["in the tensors", "in bundle.json"])
def test_a_real_write_error_in_the_tensors_or_in_the_index(tmp_path: Path, limit: int) -> None:
    bundle = make_bundle(tmp_path / "bo", seed=1)
    others = [len(content) for name, content in files_of(bundle).items() if name != INDEX]
    assert max(others) < 3000 < (bundle / INDEX).stat().st_size, "the limits no longer hit what they name"
    before = files_of(tmp_path)
    out, err = python(LIMITED, bundle, limit).communicate(timeout=120)
    assert out.startswith("JobFailed could not write the bundle"), (out, err)
    assert "bytes free" in out and str(bundle) in out
    assert files_of(tmp_path) == before
    assert names(tmp_path) == ["bo"]


def test_ctrl_c_leaves_the_old_bundle_and_stays_ctrl_c(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo", seed=1)

    def interrupted(directory: Path) -> None:
        write_files(directory)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        write_bundle(bundle, make_info(seed=2), interrupted)
    assert read_bundle(bundle).seed == 1
    assert names(tmp_path) == ["bo"]


def test_the_old_bundle_comes_back_when_the_last_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "bo", seed=1)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if ".tmp-" in self.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(JobFailed, match=r"Input/output error.*look at the disk"):
        make_bundle(bundle, seed=2)
    assert read_bundle(bundle).seed == 1
    assert names(tmp_path) == ["bo"]


def test_a_defect_in_the_writer_is_not_dressed_up_as_a_disk_error(tmp_path: Path) -> None:
    def broken(directory: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_bundle(tmp_path / "bo", make_info(), broken)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", REQUIRED)
def test_a_writer_that_leaves_something_out_is_told_what(tmp_path: Path, name: str) -> None:
    def forgetful(directory: Path) -> None:
        write_files(directory)
        (directory / name).unlink()

    with pytest.raises(JobFailed, match=re.escape(name)):
        write_bundle(tmp_path / "bo", make_info(), forgetful)
    assert names(tmp_path) == []


def test_a_pickle_is_not_written_either(tmp_path: Path) -> None:
    def old_habits(directory: Path) -> None:
        write_files(directory)
        (directory / "optimizer.pt").write_bytes(b"\x80\x04.")

    with pytest.raises(LlinkError, match=r"optimizer\.pt.*pickle"):
        write_bundle(tmp_path / "bo", make_info(), old_habits)
    assert names(tmp_path) == []


def test_no_path_and_no_key_of_the_trainers_machine_gets_into_a_bundle(tmp_path: Path) -> None:
    home = tmp_path / "home" / "norbu"
    model = home / "models" / "labse-small"
    model.mkdir(parents=True)
    settings = Settings.model_validate(
        {
            "encoder": {"model": str(model)},
            "corpus": {"path": str(home / "private" / "pairs.tsv")},
            "features": {"directory": "s3://AKIAKEY:hunter2@bucket/features?session_token=hunter3"},
        }
    )
    info = make_info(
        settings=settings.model_dump(),
        encoder=ModelInfo(id=str(model), fingerprint="e1", hidden_size=96),
    )

    def as_peft_does(directory: Path) -> None:
        write_files(directory)
        config = {"base_model_name_or_path": str(home / "models" / "decoder"), "r": 16}
        (directory / "lora/adapter_config.json").write_text(json.dumps(config))
        (directory / "lora/README.md").write_text(f"base_model: {home}/models/decoder\n")
        (directory / "metrics.json").write_text(
            json.dumps({**METRICS, "run_dir": str(home / "runs" / "bo-1")})
        )
        (directory / "README.md").write_text(model_card(info, METRICS), encoding="utf-8")

    bundle = write_bundle(tmp_path / "bo", info, as_peft_does)
    for name, content in files_of(bundle).items():
        for secret in (b"norbu", b"AKIAKEY", b"hunter"):
            assert secret not in content, name
    read = read_bundle(bundle)
    assert read.encoder.id == "labse-small"
    assert read.settings["encoder"]["model"] == "labse-small"
    assert read.settings["corpus"]["path"] == "pairs.tsv"
    assert read.settings["features"]["directory"] == "s3://bucket/features"
    assert Settings.model_validate(read.settings).encoder.model == "labse-small"
    assert json.loads((bundle / "lora/adapter_config.json").read_text()) == {
        "base_model_name_or_path": "decoder",
        "r": 16,
    }
    assert json.loads((bundle / "metrics.json").read_text()) == {**METRICS, "run_dir": "bo-1"}
