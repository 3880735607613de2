"""Checks that a cached model has the catalogued weights and works."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llink_ray.errors import JobFailed
from llink_ray.models.pretrained.catalogue import DecoderCheck, Model, catalogue

_AGAIN = "remove what was downloaded and get it again, or look at the catalogue's row"
_ANSWER_TOKENS = 24


@dataclass(frozen=True)
class ReferenceVectors:
    """What an encoder's own engine says of a few texts."""

    prompt: str
    """Put before each text."""
    texts: list[str]
    """T of them."""
    vectors: npt.NDArray[np.float32]
    """(T, d), of unit length."""


def read_reference(path: Path) -> ReferenceVectors:
    """Vectors as ``benchmarks/reference_vectors.py`` writes them."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    values = np.frombuffer(base64.b64decode(raw["float16_base64"]), "<f2").astype(np.float32)
    return ReferenceVectors(raw["prompt"], raw["texts"], values.reshape(len(raw["texts"]), raw["dimension"]))


def check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    """Compare files with the hashes that the catalogue gives.

    Raises:
        JobFailed: names the first that is missing or another.
    """
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file():
            raise JobFailed(f"{name} is missing in {folder}: {_AGAIN}")
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != expected:
            raise JobFailed(
                f"{name} in {folder} is not what the catalogue says (SHA-256 {actual[:12]}… instead of "
                f"{expected[:12]}…): {_AGAIN}"
            )


def check_model(model: Model, folder: Path, *, from_hub: bool) -> str | None:
    """Load the model and hold it against what the catalogue knows of it; says what was found.

    Raises:
        JobFailed: its vectors or its answer are not as expected.
        LlinkError: it cannot be loaded.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar says nothing here that one plain line does not
    if model.reference is not None:
        least = model.reference.hub_cosine if from_hub else model.reference.cosine
        return _check_vectors(model, folder, catalogue().folder / model.reference.file, least)
    return None if model.question is None else _check_answer(model, folder, model.question)


def cosines(folder: Path, reference: ReferenceVectors) -> npt.NDArray[np.float32]:
    """Cosine of each reference vector with what the encoder in ``folder`` says, (T,)."""
    from llink_ray.models.encoder import Encoder
    from llink_ray.settings import EncoderSettings

    encoder = Encoder.load(EncoderSettings(model=str(folder), prompt=reference.prompt))
    vectors: npt.NDArray[np.float32] = encoder.encode(reference.texts).vectors.numpy()  # (T, d)
    if vectors.shape != reference.vectors.shape:
        raise JobFailed(f"{folder} gives vectors of width {vectors.shape[1]}: {_AGAIN}")
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference.vectors, axis=1)
    cosine: npt.NDArray[np.float32] = (vectors * reference.vectors).sum(1) / lengths
    return cosine


def answer(folder: Path, question: str) -> str:
    """The greedy answer of the decoder in ``folder`` to a user's message."""
    import torch

    from llink_ray.models.decoder import Decoder
    from llink_ray.settings import DecoderSettings

    decoder = Decoder.load(DecoderSettings(model=str(folder)))
    ids = torch.tensor([decoder.prompt_builder.build([("user", question)]).ids])  # (1, S)
    embedded = decoder.model.get_input_embeddings()(ids)  # (1, S, d)
    return decoder.greedy(embedded, torch.ones_like(ids), _ANSWER_TOKENS)[0]


def _check_vectors(model: Model, folder: Path, reference: Path, least: float) -> str:
    cosine = float(cosines(folder, read_reference(reference)).min())
    if not cosine >= least:  # NaN too
        raise JobFailed(
            f"{model.id} as prepared in {folder} does not read as it should (cosine {cosine:.3f} with "
            f"{reference.name}, at least {least} is expected): {_AGAIN}"
        )
    return f"cosine with the reference at least {cosine:.4f}"


def _check_answer(model: Model, folder: Path, question: DecoderCheck) -> str:
    text = answer(folder, question.ask)
    if question.contains not in text:
        raise JobFailed(
            f"{model.id} as prepared in {folder} does not answer as it should ({question.ask!r} gives "
            f"{text[:80]!r}, without {question.contains!r}): {_AGAIN}"
        )
    return f"{question.ask} {text}"
