"""``bundle.json``: its fields, and the checks that need no other file."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from llink_ray.errors import LlinkError
from llink_ray.storage.redact import model_name, redact_tree
from llink_ray.text import normalisation

FORMAT_VERSION = 2
"""Of what is written; counts up when an older reader could not read a newer bundle."""
READABLE_VERSIONS = (1, 2)
"""Version 1 has other names for the tensors of the slots (:mod:`llink_ray.models.slots`)."""
LANGUAGE_CODE = r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*"
"""Pattern of a code, which is a folder name in a registry."""
INDEX = "bundle.json"
"""The file that makes a directory a bundle; written last."""
REQUIRED = (
    "projector.safetensors",
    "slots.safetensors",
    "lora/adapter_config.json",
    "lora/adapter_model.safetensors",
    "metrics.json",
    "README.md",
)
"""Files that every bundle has beside its index."""
_PICKLES = frozenset({".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib"})

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ModelInfo(_Record):
    """A frozen model that the bundle was trained with and needs to answer."""

    id: str = Field(min_length=1)
    """Hub id, ``embedded``, or the final folder name of a local directory."""
    revision: str | None = None
    """Hub revision."""
    fingerprint: str = Field(min_length=1)
    """Hash of the weights: another model under the same name is noticed."""
    hidden_size: int = Field(ge=1)
    """d_enc or d_dec."""
    weights: str | None = None
    """``hub``, or how a package rounded them; None where a directory does not say, and in older bundles."""

    @model_serializer(mode="wrap")
    def _as_older_bundles(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``weights`` where they are unknown: digests of older bundles stay what they were."""
        fields: dict[str, Any] = handler(self)
        if fields["weights"] is None:
            del fields["weights"]
        return fields


class SlotsInfo(_Record):
    """How foreign text stands in the prompt."""

    count: int = Field(ge=0)
    """K; 0 where the raw text stands in the prompt (variant ``none``)."""
    variant: str
    """Slot expander."""
    numerals: bool
    """ASCII numerals stand beside the slots."""


class BundleInfo(_Record):
    """``bundle.json``."""

    format_version: int = FORMAT_VERSION
    """See ``FORMAT_VERSION``."""
    language: str = Field(pattern=rf"^{LANGUAGE_CODE}$")
    """Code, as in the language table; the registry's folder name."""
    language_name: str = ""
    """English name, for the card."""
    encoder: ModelInfo
    """The frozen sentence encoder."""
    decoder: ModelInfo
    """The frozen English decoder."""
    slots: SlotsInfo
    """K, variant, numerals."""
    settings: dict[str, Any]
    """The full ``Settings`` of the run: ``Settings.model_validate(info.settings)``."""
    corpus_hash: str = Field(min_length=1)
    """Hash of the cleaned, split corpus."""
    seed: int = Field(ge=0)
    """Of the run."""
    packages: dict[str, str]
    """Name to version; see ``package_versions``."""
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    """UTC."""
    commit: str | None = None
    """Of the checkout that the run was started from; see ``project_commit``. None without one."""
    parent: str | None = None
    """Digest of the bundle that training was started from; None where it started from new modules."""
    normalisation: int = normalisation.FIRST_VERSION
    """Version of the normal form of its training text; inputs are brought into the same."""
    files: dict[str, Sha256] = Field(default_factory=dict)
    """Relative path to SHA-256, for every file but ``bundle.json``; filled in by ``write_bundle``."""
    digest: Sha256 | None = None
    """SHA-256 over all other fields, so over every byte of the bundle; filled in by ``write_bundle``."""

    @model_serializer(mode="wrap")
    def _as_older_bundles(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the first normalisation, which older bundles do not name: their digests stay."""
        fields: dict[str, Any] = handler(self)
        if fields.get("normalisation") == normalisation.FIRST_VERSION:
            del fields["normalisation"]
        return fields

    def redact(self) -> BundleInfo:
        """The same record without paths of this machine or keys inside addresses."""
        models = {
            name: model.model_copy(update={"id": model_name(model.id)})
            for name, model in (("encoder", self.encoder), ("decoder", self.decoder))
        }
        return self.model_copy(update={**models, "settings": redact_tree(self.settings)})

    def sealed(self, files: dict[str, str]) -> BundleInfo:
        """The same record with ``files`` and the digest over everything."""
        info = self.model_copy(update={"files": dict(sorted(files.items()))})
        return info.model_copy(update={"digest": info.computed_digest()})

    def computed_digest(self) -> str:
        """What ``digest`` has to be."""
        fields = self.model_dump(mode="json", exclude={"digest"})
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """The text of ``bundle.json``."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def project_commit() -> str | None:
    """Commit of the checkout that this package is imported from, with ``-dirty`` where files were changed.

    None where it is installed without one, or git is not.
    """
    root = Path(__file__).parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def package_versions() -> dict[str, str]:
    """Versions of the packages that answers depend on; imports none of them."""
    versions = {"python": platform.python_version()}
    for name in ("llink-ray", "torch", "transformers", "peft", "sentence-transformers", "safetensors"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def parse_info(text: str, where: str) -> BundleInfo:
    """Parse and check the text of a ``bundle.json``.

    Raises:
        LlinkError: says what is wrong in ``bundle.json`` of ``where``.
    """
    again = "copy or train the bundle again"
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LlinkError(f"{INDEX} in {where} is damaged (not JSON): {again}") from error
    if not isinstance(raw, dict) or "format_version" not in raw:
        raise LlinkError(f"{INDEX} in {where} has no format_version: this is not a bundle of llink_ray")
    version = raw["format_version"]
    if version not in READABLE_VERSIONS:
        readable = " and ".join(map(str, READABLE_VERSIONS))
        raise LlinkError(
            f"the bundle {where} has format version {version!r}, this llink_ray reads {readable}: "
            "install the llink_ray that wrote it, or train the bundle again"
        )
    try:
        info = BundleInfo.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise LlinkError(f"{INDEX} in {where} is damaged ({field}: {first['msg']}): {again}") from error
    if not normalisation.is_known_version(info.normalisation):
        raise LlinkError(
            f"the bundle {where} was trained on text in normal form {info.normalisation}, this llink_ray "
            f"writes {normalisation.FIRST_VERSION} to {normalisation.VERSION}: "
            "install the llink_ray that wrote it"
        )
    check_names(info.files, where)
    for name in REQUIRED:
        if name not in info.files:
            raise LlinkError(f"{INDEX} in {where} does not list {name}, which every bundle has: {again}")
    if info.digest != info.computed_digest():
        raise LlinkError(f"{INDEX} in {where} was changed after it was written (digest differs): {again}")
    return info


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse names that lead out of the directory: the index is untrusted input.

    Raises:
        LlinkError: names the file that leads out of the directory or is a pickle.
    """
    for name in names:
        path = PurePosixPath(name)
        if (
            not name
            or name == INDEX
            or path.is_absolute()
            or ".." in path.parts
            or str(path) != name
            or any(letter in name for letter in "\\:\0")
        ):
            raise LlinkError(f"the bundle {where} has a file {name!r}, which leads out of it: do not use it")
        if path.suffix.lower() in _PICKLES:
            raise LlinkError(
                f"{name} in the bundle {where} can run code when it is loaded (a pickle): do not use it"
            )
