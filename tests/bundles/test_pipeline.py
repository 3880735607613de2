"""A bundle answers as the model it was written from, in this process and in a fresh one, or says why not."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_files import edit_index, python
from model_zoo import PAIRS, Lesson, former_names, learn, small_settings, write_bert, write_decoder
from model_zoo import write_taught as write
from safetensors.torch import load_file, save_file

import llink_ray
from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import ModelInfo
from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError
from llink_ray.prompts.message import Segment
from llink_ray.text.normalisation import FIRST_VERSION, VERSION
from llink_ray.text.zawgyi import convert_zawgyi

TEXTS = [pair.foreign for pair in PAIRS[:6]]
ANSWER = """
import json, sys
import llink_ray
taught = llink_ray.load(sys.argv[1])
texts = json.loads(sys.argv[2])
print(json.dumps({"translate": taught.translate(texts), "answer": taught.answer("Who?", texts),
                  "embed": taught.embed(texts).tolist(), "language": taught.language}))
"""


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return learn(small_settings("embedded", "embedded"))


@pytest.fixture(scope="module")
def bundle(lesson: Lesson, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bundles") / "bo", lesson.taught)


@pytest.fixture(scope="module")
def loaded(bundle: Path) -> LlinkPipeline:
    return llink_ray.load(bundle)


def test_a_loaded_bundle_answers_the_same(lesson: Lesson, loaded: LlinkPipeline) -> None:
    assert loaded.translate(TEXTS) == lesson.taught.translate(TEXTS)
    question = "Who sold the apples?"
    assert loaded.answer(question, TEXTS) == lesson.taught.answer(question, TEXTS)
    assert np.allclose(loaded.embed(TEXTS), lesson.taught.embed(TEXTS), atol=1e-6)
    assert len(set(loaded.translate(TEXTS))) > 1
    assert loaded.language == "bo"
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.decoder.parameters())


def test_a_fresh_process_answers_the_same(bundle: Path, loaded: LlinkPipeline) -> None:
    process = python(ANSWER, str(bundle), json.dumps(TEXTS))
    out, errors = process.communicate(timeout=250)
    assert process.returncode == 0, errors[-2_000:]
    assert "Loading weights" not in errors and "FutureWarning" not in errors
    found = json.loads(out.splitlines()[-1])
    assert found["translate"] == loaded.translate(TEXTS)
    assert found["answer"] == loaded.answer("Who?", TEXTS)
    assert np.allclose(found["embed"], loaded.embed(TEXTS), atol=1e-5)
    assert found["language"] == "bo"


def test_one_text_or_several(loaded: LlinkPipeline) -> None:
    one = loaded.translate(TEXTS[0])
    assert isinstance(one, str) and loaded.translate([TEXTS[0]]) == [one]
    assert isinstance(loaded.answer("Who?", TEXTS[0]), str)
    assert loaded.answer("Who?", [TEXTS[0]]) == [loaded.answer("Who?", TEXTS[0])]
    assert loaded.answer_all([("Who?", TEXTS[0]), ("How many?", TEXTS[1])]) == [
        loaded.answer("Who?", TEXTS[0]),
        loaded.answer("How many?", TEXTS[1]),
    ]


def unseen(text: str) -> list[str]:
    """The same text to whoever looks at it."""
    middle = len(text) // 2
    return [
        *(f"{mark}{text}" for mark in "\ufeff\u200e\u202b\u2066"),
        *(f"{text}{mark}" for mark in "\u200b\u061c\u17b4\u200d"),
        *(f"{text[:middle]}{mark}{text[middle:]}" for mark in "\u00ad\u2063"),
        text.replace(" ", "\u00a0"),
        text.replace("\u0f0b", "\u0f0c"),
    ]


def test_what_nobody_sees_changes_nothing(loaded: LlinkPipeline) -> None:
    for code in phrasebook.languages():
        loaded.language = code
        for text in (pair.foreign for pair in phrasebook.pairs(code, 40, 991)):
            assert all(loaded.segments(other) == loaded.segments(text) for other in unseen(text))
    loaded.language = "bo"
    text = phrasebook.pairs("bo", 1, 991)[0].foreign
    others = unseen(text)
    assert len(others) == 12
    assert loaded.answer("Who?\u200b", others) == loaded.answer("Who?", [text]) * 12
    assert np.allclose(loaded.embed(others), loaded.embed([text]), atol=1e-5)
    given = [[Segment(other)] for other in others]
    assert loaded.answer_all([("Who?", one) for one in given]) == loaded.answer("Who?", [text]) * 12


@pytest.mark.slow
@pytest.mark.parametrize("code", phrasebook.languages())
def test_forty_answers_are_the_same_after_twelve_changes(loaded: LlinkPipeline, code: str) -> None:
    loaded.language = code
    asked = [(pair.questions[0].instruction, pair.foreign) for pair in phrasebook.pairs(code, 60, 991)]
    plain = loaded.answer_all(asked[:40])
    for number in range(12):
        changed = [(instruction, unseen(text)[number]) for instruction, text in asked[:40]]
        assert loaded.answer_all(changed) == plain
    loaded.language = "bo"


def test_a_font_s_encoding_is_refused_and_read_once_it_is_converted(loaded: LlinkPipeline) -> None:
    loaded.language, text = "my", "ျမန္မာႏိုင္ငံမွာ ေနတယ္။"
    readers: tuple[Callable[[str], object], ...] = (
        loaded.translate, lambda each: loaded.embed([each]), loaded.segments
    )  # fmt: skip
    for read in readers:
        with pytest.raises(LlinkError, match="Burmese in Zawgyi"):
            read(text)
    assert loaded.segments(convert_zawgyi(text)) == [Segment("မြန်မာနိုင်ငံမှာ နေတယ်။")]
    loaded.language = "bo"


def test_an_older_bundle_reads_what_it_was_trained_on(lesson: Lesson, tmp_path: Path) -> None:
    older = llink_ray.load(write(tmp_path / "older", lesson.taught, normalisation=FIRST_VERSION))
    assert older.segments("ང་ ༡༢\u00a0༣༤༥ ཡོད།\u2063") == [Segment("ང་ ༡༢ ༣༤༥ ཡོད།")]
    assert older.answer("Who?", TEXTS) == lesson.taught.answer("Who?", TEXTS)
    newer = llink_ray.load(write(tmp_path / "newer", lesson.taught))
    assert newer.normalisation == VERSION
    assert newer.segments("ང་ ༡༢\u00a0༣༤༥ ཡོད།\u2063") == [Segment("ང་ ༡༢\u00a0༣༤༥ ཡོད།")]


def test_a_bundle_of_format_version_1_answers_the_same(
    bundle: Path, loaded: LlinkPipeline, tmp_path: Path
) -> None:
    """As it was written when the tensors of the slots had other names."""
    older = Path(shutil.copytree(bundle, tmp_path / "older"))
    tensors = former_names(load_file(older / "slots.safetensors"))
    assert "readers.0.look.weight" in tensors
    save_file(tensors, older / "slots.safetensors")

    def as_then(raw: dict[str, Any]) -> None:
        raw["format_version"] = 1
        content = (older / "slots.safetensors").read_bytes()
        raw["files"]["slots.safetensors"] = hashlib.sha256(content).hexdigest()

    edit_index(older, as_then)
    assert read_bundle(older).format_version == 1 < read_bundle(bundle).format_version
    assert llink_ray.load(older).answer("Who?", TEXTS) == loaded.answer("Who?", TEXTS)


def test_nothing_asked_nothing_answered(loaded: LlinkPipeline) -> None:
    assert loaded.translate([]) == loaded.answer("Who?", []) == loaded.answer_all([]) == []
    assert loaded.embed([]).shape == (0, loaded.decoder.dim)


def test_vectors(loaded: LlinkPipeline) -> None:
    vectors = loaded.embed(TEXTS)
    assert vectors.shape == (6, loaded.decoder.dim) and vectors.dtype == np.float32
    assert np.allclose(vectors, loaded.embed(TEXTS, batch_size=4), atol=1e-4)
    assert np.allclose(loaded.embed(TEXTS[0]), vectors[:1], atol=1e-4)  # not one vector a letter
    assert isinstance(loaded.translate(""), str)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_other_weights_than_the_bundle_s_are_refused(
    lesson: Lesson, bundle: Path, tmp_path: Path, part: str
) -> None:
    told: ModelInfo = getattr(read_bundle(bundle), part)
    changes: dict[str, Any] = {part: told.model_copy(update={"fingerprint": "0" * 64})}
    path = write(tmp_path / "bundle", lesson.taught, **changes)
    with pytest.raises(LlinkError, match=rf"bundle for bo was trained on another {part} than the 'embedded'"):
        llink_ray.load(path)


def test_another_model_in_the_same_place_is_refused(bundle: Path, tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "decoder", "qwen2")
    with pytest.raises(LlinkError, match="trained on another decoder"):
        llink_ray.load(bundle, decoder=str(decoder))


def test_local_models_are_named_where_they_lie(tmp_path: Path) -> None:
    encoder = write_bert(tmp_path / "trained" / "bert")
    settings = small_settings(str(encoder), "embedded", encoder={"pooling": "mean"})
    taught = learn(settings, PAIRS[:24]).taught
    bundle = write(tmp_path / "bundle", taught)
    moved = shutil.move(tmp_path / "trained", tmp_path / "moved")
    with pytest.raises(LlinkError, match="bert"):
        llink_ray.load(bundle)  # the bundle does not know this machine's folders
    again = llink_ray.load(bundle, encoder=str(Path(moved) / "bert"))
    assert again.translate(TEXTS) == taught.translate(TEXTS)


def damage(name: str) -> Callable[[Path], None]:
    def flip(bundle: Path) -> None:
        content = bytearray((bundle / name).read_bytes())
        content[len(content) // 2] ^= 1
        (bundle / name).write_bytes(content)

    return flip


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damage("projector.safetensors"), r"projector\.safetensors .*is damaged"),
        (damage("slots.safetensors"), r"slots\.safetensors .*is damaged"),
        (damage("lora/adapter_model.safetensors"), r"lora/adapter_model\.safetensors .*is damaged"),
        (lambda bundle: (bundle / "slots.safetensors").unlink(), r"slots\.safetensors is missing"),
        (lambda bundle: (bundle / "bundle.json").unlink(), r"is not a bundle"),
        (shutil.rmtree, r"there is no bundle at"),
    ],
)
def test_a_damaged_bundle_is_refused(
    bundle: Path, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    harm(copy)
    with pytest.raises(LlinkError, match=said) as error:
        llink_ray.load(copy)
    assert "\n" not in str(error.value)


def test_weights_that_do_not_fit_their_settings_are_refused(lesson: Lesson, tmp_path: Path) -> None:
    settings = lesson.taught.settings.model_dump(mode="json")
    settings["projector"]["hidden"] = 99
    path = write(tmp_path / "bundle", lesson.taught, settings=settings)
    with pytest.raises(
        LlinkError, match=r"projector\.safetensors .*does not fit the bundle's settings"
    ) as error:
        llink_ray.load(path)
    assert "\n" not in str(error.value)
