"""The store: ``<uri>/<key>/shard-00000.safetensors …`` and, last of all, ``manifest.json``.

A shard is whole or absent, and checks itself; so any number of processes may fill the same key at once,
and one that died leaves nothing to clean up.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from llink_ray.errors import JobFailed
from llink_ray.features import shard as files
from llink_ray.features.folder import folder
from llink_ray.features.rows import Features, RaggedRows, ShardedRows
from llink_ray.features.spec import FeatureSpec, Shard

_log = logging.getLogger(__name__)
_FORMAT = 1


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
        self._folder = folder(self.uri, cache)

    def missing(self, spec: FeatureSpec) -> list[int]:
        """Shards that must be computed: those not there, and, with a warning, those that are damaged.

        Reads and hashes every stored byte, once per job; ``open`` does not.
        """
        return [index for index in range(spec.shards) if not self._sound(spec, index)]

    def write(self, shard: Shard, arrays: files.Arrays) -> None:
        """Put the values of a shard in place.

        Raises:
            JobFailed: the disk is full, or the place may not be written.
        """
        with self._folder.put(shard.name) as path:
            files.save(arrays, path)

    def finish(self, spec: FeatureSpec) -> Features:
        """Write the manifest of a key whose shards are all there, and open it.

        Raises:
            JobFailed: a shard is missing after all.
        """
        manifest = {
            "format": _FORMAT,
            "what": spec.what,
            "count": len(spec.texts),
            "shard_size": spec.shard_size,
            "shards": spec.shards,
            "fingerprint": spec.fingerprint,
            "model": {"name": spec.model.model, "revision": spec.model.revision},
            "options": spec.options,
        }
        features = self._map(spec.key, manifest)
        described = manifest | {"dim": features.dim, "state_dtype": spec.state_dtype}
        if features.tokens is not None:
            described["tokens"] = int(features.tokens.lengths.sum())
        text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
        name = f"{spec.key}/manifest.json"
        there = self._folder.fetch(name)
        if there is None or there.read_bytes() != text.encode():  # a finished store may be read-only
            with self._folder.put(name) as path:
                path.write_text(text, encoding="utf-8")
        return features

    def open(self, key: str) -> Features:
        """Map finished features.

        Raises:
            JobFailed: they were never finished, or a file of theirs is gone.
        """
        path = self._folder.fetch(f"{key}/manifest.json")
        if path is None:
            raise JobFailed(f"{self.uri} holds no features {key[:12]}…: extract them first.")
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise JobFailed(f"{path} is damaged: extract these features again.") from error
        return self._map(key, manifest)

    def _map(self, key: str, manifest: dict[str, Any]) -> Features:
        shards = []
        for index in range(manifest["shards"]):
            name = f"{key}/shard-{index:05d}.safetensors"
            path = self._folder.fetch(name)
            if path is None:
                raise JobFailed(f"{self.uri}/{name} is gone: extract these features again.")
            try:
                shards.append(files.load(path))
            except files.Damaged as error:
                raise JobFailed(f"{path} {error}: extract these features again.") from error
        size = manifest["shard_size"]
        vectors = ShardedRows([shard["vectors"] for shard in shards], size)
        if len(vectors) != manifest["count"]:
            raise JobFailed(f"{self.uri}/{key} does not fit its manifest: extract these features again.")
        tokens = None
        if manifest["what"] == "encoder+tokens":
            tokens = RaggedRows([(shard["tokens"], shard["offsets"]) for shard in shards], size)
        return Features(self.uri, key, vectors, tokens)

    def _sound(self, spec: FeatureSpec, index: int) -> bool:
        name = f"{spec.key}/shard-{index:05d}.safetensors"
        problem = ""
        for fresh in (False, True):  # a bad cached copy may have a good original
            path = self._folder.fetch(name, fresh=fresh)
            if path is None:
                return False
            try:
                arrays = files.load(path, verify=True)
            except files.Damaged as error:
                problem = str(error)
                continue
            if len(arrays["vectors"]) == spec.rows(index):
                return True
            problem = "has another number of rows"
        _log.warning("%s/%s %s: computing it again", self.uri, name, problem)
        return False
