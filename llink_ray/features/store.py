"""The feature store, addressed by text.

    <uri>/<space>/<name>.safetensors   values of some texts, with the hash of their own bytes
    <uri>/<space>/<name>.ids           ids of those texts, written last: values without ids do not count
    <uri>/views/<key>.safetensors      which shard and row each text of a spec lies in

A shard is whole or absent, and checks itself, so any number of processes may fill the same space at once and
a killed one leaves nothing to clean up. A text that several specs share is stored once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llink_ray.errors import JobFailed
from llink_ray.features import shard as files
from llink_ray.features.rows import RaggedRows, ShardedRows
from llink_ray.features.spec import FeatureSpec, Shard
from llink_ray.storage.cached_folder import CachedFolder

_log = logging.getLogger(__name__)
_FORMAT = 2
_ID_BYTES = 16


@dataclass(frozen=True)
class Features:
    """Features of N texts, row i belonging to text i.

    Pickled as (store, key) and opened again by the receiving process, so no values are copied.
    """

    uri: str
    key: str
    vectors: ShardedRows
    tokens: RaggedRows | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """d of the vectors."""
        return self.vectors.shape[1]

    def __reduce__(self) -> tuple[Any, ...]:
        """See the class."""
        return _open, (self.uri, self.key)


class FeatureStore:
    """Content-addressed features.

    Args:
        uri: local directory, used in place, or a URI that ``pyarrow.fs`` reads (``s3://``, ``gs://``,
            ``hdfs://``, ``file://``), which is copied once to a local cache and mapped from there.
        cache: where those copies go; nothing means ``$LLINK_CACHE`` or the user's cache directory.

    Raises:
        LlinkError: the place cannot be a store.
    """

    def __init__(self, uri: str | Path, cache: Path | None = None) -> None:
        self.uri = str(uri) if "://" in str(uri) else str(Path(uri).expanduser().resolve())
        self._folder = CachedFolder(self.uri, cache)

    def missing(self, spec: FeatureSpec) -> list[Shard]:
        """Shards to compute: of texts not stored yet, and, with a warning, of damaged shards.

        Reads and hashes every stored byte of the texts of ``spec``, once per job; ``open`` does not.
        """
        valid: set[bytes] = set()
        for name, ids in self._stored(spec).items():
            if self._valid(name, len(ids)):
                valid.update(ids)
            else:
                self._folder.remove(_ids_name(name))
        return spec.shards(valid)

    def write(self, shard: Shard, arrays: files.Arrays) -> None:
        """Store the values of a shard.

        Raises:
            JobFailed: the disk is full, or the store is not writable.
        """
        with self._folder.put(shard.name) as path:
            files.save(arrays, path)
        with self._folder.put(_ids_name(shard.name)) as path:
            path.write_bytes(b"".join(shard.ids))

    def finish(self, spec: FeatureSpec) -> Features:
        """Write the view of a spec whose texts are all stored, and open it.

        Raises:
            JobFailed: a text is missing.
        """
        locations: dict[bytes, tuple[int, int]] = {}
        names: list[str] = []
        for name, ids in self._stored(spec).items():
            for row, text in enumerate(ids):
                locations.setdefault(text, (len(names), row))
            names.append(name)
        missing = sum(text not in locations for text in spec.ids)
        if missing:
            raise JobFailed(
                f"{self.uri} lacks the {spec.what} features of {missing} of {len(spec.ids)} texts: "
                "extract them first."
            )
        rows = np.array([locations[text] for text in spec.ids], dtype=np.int64)  # (N, 2)
        used = np.unique(rows[:, 0])  # a text in several shards is taken from the first
        renumbered = np.searchsorted(used, rows[:, 0])
        manifest = {
            "format": _FORMAT,
            "what": spec.what,
            "count": len(spec.texts),
            "shards": [names[i] for i in used],
            "fingerprint": spec.fingerprint,
            "model": {"name": spec.model.model, "revision": spec.model.revision},
            "options": spec.options,
        }
        view = f"views/{spec.key}.safetensors"
        stored = self._folder.fetch(view)
        arrays = {"shard": renumbered, "row": rows[:, 1]}
        if stored is None or not files.same_view(stored, arrays, manifest):  # a store may be read-only
            with self._folder.put(view) as path:
                files.save_view(arrays, manifest, path)
        return self._map(spec.key, manifest, renumbered, rows[:, 1])

    def open(self, key: str) -> Features:
        """Memory-map finished features.

        Raises:
            JobFailed: they were never finished, or one of their files is missing.
        """
        path = self._folder.fetch(f"views/{key}.safetensors")
        if path is None:
            raise JobFailed(f"{self.uri} holds no features {key[:12]}…: extract them first.")
        try:
            arrays, manifest = files.load_view(path)
        except files.Damaged as error:
            raise JobFailed(f"{path} {error}: extract these features again.") from error
        return self._map(key, manifest, arrays["shard"], arrays["row"])

    def _map(self, key: str, manifest: dict[str, Any], shard: files.Index, row: files.Index) -> Features:
        shards = []
        for name in manifest["shards"]:
            path = self._folder.fetch(name)
            if path is None:
                raise JobFailed(f"{self.uri}/{name} is gone: extract these features again.")
            try:
                shards.append(files.load(path))
            except files.Damaged as error:
                raise JobFailed(f"{path} {error}: extract these features again.") from error
        lengths = np.array([len(arrays["vectors"]) for arrays in shards])
        if len(shard) != manifest["count"] or (row >= lengths[shard]).any():
            raise JobFailed(f"{self.uri}/{key} does not fit its shards: extract these features again.")
        vectors = ShardedRows([arrays["vectors"] for arrays in shards], (shard, row))
        tokens = None
        if manifest["what"] == "encoder+tokens":
            tokens = RaggedRows([(arrays["tokens"], arrays["offsets"]) for arrays in shards], (shard, row))
        return Features(self.uri, key, vectors, tokens)

    def _stored(self, spec: FeatureSpec) -> dict[str, list[bytes]]:
        """Ids of the texts of each finished shard that holds any text of the spec, by the shard's name."""
        needed, stored = set(spec.ids), {}
        for name in self._folder.names(spec.space):
            if name.endswith(".ids") and (path := self._folder.fetch(name)) is not None:
                raw = path.read_bytes()
                ids = [raw[i : i + _ID_BYTES] for i in range(0, len(raw), _ID_BYTES)]
                if not needed.isdisjoint(ids):
                    stored[f"{name.removesuffix('.ids')}.safetensors"] = ids
        return stored

    def _valid(self, name: str, rows: int) -> bool:
        problem = ""
        for fresh in (False, True):  # a bad cached copy may have a good original
            path = self._folder.fetch(name, fresh=fresh)
            if path is None:
                problem = "is gone"
                break
            try:
                arrays = files.load(path, verify=True)
            except files.Damaged as error:
                problem = str(error)
                continue
            if len(arrays["vectors"]) == rows:
                return True
            problem = "has another number of rows"
        _log.warning("%s/%s %s: computing it again", self.uri, name, problem)
        return False


def _ids_name(name: str) -> str:
    return f"{name.removesuffix('.safetensors')}.ids"


def _open(uri: str, key: str) -> Features:
    return FeatureStore(uri).open(key)
