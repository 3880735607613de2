"""The bundle directory: whole or absent when written, believed only when every byte is right."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_files import METRICS, make_bundle, make_info, python, write_files
from safetensors.numpy import load_file

from llink_ray.bundles.bundle import (
    INDEX,
    REQUIRED,
    BundleInfo,
    ModelInfo,
    model_card,
    model_name,
    parse_info,
    read_bundle,
    write_bundle,
)
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.settings import Settings
from llink_ray.storage.redact import redact, redact_tree
from llink_ray.text.normalisation import FIRST, VERSION


def everything(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def edit_index(bundle: Path, change: Callable[[dict[str, Any]], object], *, reseal: bool = True) -> None:
    """What someone with write access could do, digest included."""
    raw = json.loads((bundle / INDEX).read_text(encoding="utf-8"))
    change(raw)
    if reseal:
        raw["digest"] = BundleInfo.model_validate(raw).computed_digest()
    (bundle / INDEX).write_text(json.dumps(raw), encoding="utf-8")


# ---------------------------------------------------------------- writing


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
    before = everything(tmp_path)
    with pytest.raises(JobFailed) as caught:
        write_bundle(bundle, make_info(seed=2), fault)
    message = str(caught.value)
    assert str(bundle) in message and advice in message and "--output" in message
    assert re.search(r"[\d,]+ bytes free", message)
    assert caught.value.exit_code == 1
    assert everything(tmp_path) == before
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
    others = [len(content) for name, content in everything(bundle).items() if name != INDEX]
    assert max(others) < 3000 < (bundle / INDEX).stat().st_size, "the limits no longer hit what they name"
    before = everything(tmp_path)
    out, err = python(LIMITED, bundle, limit).communicate(timeout=120)
    assert out.startswith("JobFailed could not write the bundle"), (out, err)
    assert "bytes free" in out and str(bundle) in out
    assert everything(tmp_path) == before
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


# ---------------------------------------------------------------- nothing of the trainer's machine


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
    for name, content in everything(bundle).items():
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/norbu/x.tsv", "x.tsv"),
        ("~/x/", "x"),
        ("C:\\Users\\norbu\\x", "x"),
        ("file:///home/norbu/a%20b", "a b"),
        ("https://norbu:pw@hub.example:8443/a?token=t#f", "https://hub.example:8443/a"),
        ("org/model", "org/model"),
        ("30 km/h", "30 km/h"),
        ("embedded", "embedded"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_string(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact_tree({"list": [text, 1, None], "deep": ({"x": text},)}) == {
        "list": [shown, 1, None],
        "deep": [{"x": shown}],
    }


def test_a_relative_path_to_a_corpus_keeps_its_name_only() -> None:
    assert redact_tree({"corpus": {"path": "../norbu/pairs.tsv"}}) == {"corpus": {"path": "pairs.tsv"}}


def test_model_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "labse").mkdir(parents=True)
    (tmp_path / "embedded").mkdir()
    monkeypatch.chdir(tmp_path)
    assert model_name("embedded") == "embedded"
    assert model_name("meta-llama/Llama-3.2-1B-Instruct") == "meta-llama/Llama-3.2-1B-Instruct"
    assert model_name("models/labse") == "labse"
    assert model_name("./models/labse/") == "labse"
    assert model_name("/not/here/any/more/labse") == "labse"
    monkeypatch.chdir("models/labse")
    assert model_name(".") == "labse"


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("name", [*REQUIRED, INDEX])
def test_one_flipped_bit_anywhere_is_found_and_the_file_named(tmp_path: Path, name: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    original = (bundle / name).read_bytes()
    for position in {0, len(original) // 3, len(original) // 2, len(original) - 2}:
        damaged = bytearray(original)
        damaged[position] ^= 1
        (bundle / name).write_bytes(damaged)
        with pytest.raises(LlinkError, match=re.escape(name)):
            read_bundle(bundle)
    (bundle / name).write_bytes(original)
    read_bundle(bundle)


def test_every_single_byte_of_the_index_counts(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo")
    original = (bundle / INDEX).read_bytes()
    meaning = json.loads(original)
    assert parse_info(original.decode(), "here") == read_bundle(bundle)
    for position in range(0, len(original), 5):
        damaged = bytearray(original)
        damaged[position] ^= 4
        try:
            if json.loads(damaged) == meaning:  # e.g. an upper-case escape: nothing was lost
                continue
        except ValueError:
            pass
        with pytest.raises(LlinkError, match="here"):
            parse_info(damaged.decode(), "here")


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("how", ["deleted", "truncated"])
def test_half_a_copy_is_found(tmp_path: Path, name: str, how: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    content = (bundle / name).read_bytes()
    (bundle / name).unlink()
    if how == "truncated":
        (bundle / name).write_bytes(content[:-1])
    with pytest.raises(LlinkError, match=re.escape(name)):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["a.pt", "a.bin", "lora/adapter_model.BIN", "a.pkl", "a.pickle", "x/a.ckpt"])
def test_a_pickle_is_refused_where_it_is_listed_and_sealed(tmp_path: Path, name: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"\x80\x04.")
    edit_index(bundle, lambda raw: raw["files"].update({name: "0" * 64}))
    with pytest.raises(LlinkError, match=rf"{re.escape(name)}.*pickle"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "lora/../../secret",
        "/etc/passwd",
        "a\\..\\b",
        "C:/x",
        "./slots",
        "lora//x",
        "",
        "..",
        INDEX,
    ],
)
def test_a_listed_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("s")
    bundle = make_bundle(tmp_path / "bo")
    edit_index(bundle, lambda raw: raw["files"].update({name: "0" * 64}))
    with pytest.raises(LlinkError, match="leads out of it") as caught:
        read_bundle(bundle)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_are_refused(tmp_path: Path, kind: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    name = "slots.safetensors" if kind == "file" else "lora"
    (bundle / name).rename(tmp_path / "outside")
    (bundle / name).symlink_to(tmp_path / "outside")
    with pytest.raises(LlinkError, match=rf"{re.escape(name)} .* is a link"):
        read_bundle(bundle)


def test_a_link_to_the_whole_bundle_is_fine(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bo-7", seed=7)
    (tmp_path / "latest").symlink_to(tmp_path / "bo-7")
    assert read_bundle(tmp_path / "latest").seed == 7


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo")
    (bundle / "slots.safetensors").unlink()
    os.mkfifo(bundle / "slots.safetensors")
    with pytest.raises(LlinkError, match=r"slots\.safetensors.*not a plain file"):
        read_bundle(bundle)


def test_another_format_version_says_both_versions(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo")
    edit_index(bundle, lambda raw: raw.update(format_version=99, surprise=1), reseal=False)
    with pytest.raises(LlinkError, match="format version 99, this llink_ray reads 1"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[]", "format_version"),
        ("[" * 100_000, "not JSON"),
        ('{"language": "bo"}', "format_version"),
        ('{"format_version": 1, "language": "../bo"}', "language"),
    ],
)
def test_an_index_that_is_none(tmp_path: Path, text: str, says: str) -> None:
    bundle = make_bundle(tmp_path / "bo")
    (bundle / INDEX).write_text(text)
    with pytest.raises(LlinkError, match=says):
        read_bundle(bundle)


def test_an_unknown_or_changed_field_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bo")
    edit_index(bundle, lambda raw: raw.update(surprise=1), reseal=False)
    with pytest.raises(LlinkError, match="surprise"):
        read_bundle(bundle)
    edit_index(bundle, lambda raw: raw.update(seed=raw.pop("surprise") + 8), reseal=False)
    with pytest.raises(LlinkError, match="changed after it was written"):
        read_bundle(bundle)


def test_a_bundle_says_in_which_form_its_text_was(tmp_path: Path) -> None:
    newer = make_bundle(tmp_path / "newer", normalisation=VERSION)
    assert read_bundle(newer).normalisation == VERSION > FIRST
    older = make_bundle(tmp_path / "older")  # as all were written before there was a second form
    assert "normalisation" not in json.loads((older / INDEX).read_text())
    assert read_bundle(older).normalisation == FIRST
    later = make_bundle(tmp_path / "later", normalisation=VERSION + 1)
    with pytest.raises(LlinkError, match=rf"normal form {VERSION + 1}, this llink_ray writes 1 to {VERSION}"):
        read_bundle(later)


def test_what_is_not_a_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="there is no bundle at"):
        read_bundle(tmp_path / "nothing")
    with pytest.raises(LlinkError, match=f"no {INDEX}"):
        read_bundle(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(LlinkError, match="is a file"):
        read_bundle(tmp_path / "file")


@pytest.mark.parametrize("language", ["../bo", "", "Tibetan", "b", "bo/x", "bo\n"])
def test_a_language_code_is_a_safe_folder_name(language: str) -> None:
    with pytest.raises(ValueError, match="language"):
        make_info(language=language)


def test_no_torch_is_needed_to_verify(tmp_path: Path) -> None:
    code = (
        "import sys; from llink_ray.bundles import bundle, registry; "
        "print(sorted({'torch', 'ray'} & set(sys.modules)))"
    )
    out, err = python(code).communicate(timeout=120)
    assert out.strip() == "[]", err


# ---------------------------------------------------------------- model card


def row(card: str, title: str) -> list[str]:
    lines = [line for line in card.splitlines() if line.startswith(f"| {title} |")]
    assert len(lines) == 1, (title, lines)
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", lines[0])[2:-1]]


def test_the_card_carries_the_figures_and_where_they_come_from() -> None:
    card = model_card(make_info(seed=11), METRICS)
    assert row(card, "decoder on raw text") == ["0.002", "0.010", "0.020", "0.010", "256.000"]
    assert row(card, "Stage A+B") == ["0.742", "0.953", "0.984", "0.833", "1.800"]
    assert row(card, "all") == ["0.914", "0.945"]
    assert row(card, "numbers") == ["0.996", "–"]
    assert row(card, "who") == ["0.970", "–"]
    assert row(card, "how\\|many") == ["0.990", "–"]
    assert row(card, "slot gain, slots zeroed (nats)") == ["1.234"]
    assert row(card, "slot gain, slots shuffled (nats)") == ["0.567"]
    assert row(card, "decoder tokens a message, raw text") == ["104.000"]
    assert row(card, "pairs dropped") == ["12"]
    assert row(card, "seed") == ["11"]
    assert row(card, "corpus hash") == ["c0ffee"]
    assert "org/decoder at abc" in row(card, "decoder")[0]
    assert "llink_ray.load(" in card and "Tibetan (bo)" in card


def test_every_table_of_the_card_is_well_formed() -> None:
    widths: list[int] = []
    for line in [*model_card(make_info(), METRICS).splitlines(), ""]:
        if line.startswith("|"):
            widths.append(len(re.split(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1
            widths = []


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"retrieval": {}},
        {"retrieval": None, "answers": {"by_type": None}},
        {"answers": {"by_type": {"who": {"exact": 0.5, "f1": 0.6, "count": 3}}}},
        {"corpus": {"dropped": 3}},
    ],
)
def test_the_card_copes_with_missing_figures(metrics: dict[str, object]) -> None:
    card = model_card(make_info(), metrics)
    assert row(card, "Stage A") == ["–"] * 5
    assert row(card, "all") == ["–", "–"]
    if "who" in str(metrics):
        assert row(card, "who") == ["0.500", "0.600"]
    if "corpus" in metrics:
        assert row(card, "pairs dropped") == ["3"]
