"""The real API in a process of its own, without Ray: it can be killed, and comes back on the same port.

    python tests/ui/ui_api.py FOLDER PORT [KEY=VALUE …]

Each language is taught once in FOLDER, for a few steps, and published in FOLDER/registry. Khmer has two
versions. Hebrew's adapter is random noise that says a lot, which gives a test time to act.
Every token takes a while, as it does on a real machine with a real model.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS.parent), str(_TESTS), str(_TESTS / "serve")]

CODES = ("bo", "km", "am", "ka")
ENDLESS = "he"
PACE = 0.03
"""Seconds a token."""


def registry_of(folder: Path) -> Path:
    """The registry, with all languages; what is there already is not taught again."""
    from serve_zoo import teach

    from llink_ray.bundles.registry import Registry

    root = folder / "registry"
    if root.exists():
        return root
    made = [folder / f"{code}-{seed}" for code, seed in [*((code, 0) for code in CODES), ("km", 1)]]
    for bundle in made:
        code, seed = bundle.name.split("-")
        teach(bundle, code, int(seed), noise=0.1 if seed == "1" else 1e-3)
    for bundle in [*made, talker(folder)]:
        Registry(root).publish(bundle)
    return root


def talker(folder: Path) -> Path:
    """A bundle that answers at length."""
    from serve_zoo import talkers
    from ui_texts import HEBREW

    from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION

    return talkers(folder, ENDLESS, TRANSLATE_INSTRUCTION, HEBREW, tokens=200)[0]


def main(folder: Path, port: int, assignments: list[str]) -> None:
    """Serve until killed; says so on stdout once it answers."""
    import torch
    import uvicorn
    from serve_zoo import Running, create_service
    from steered_engine import paced

    from serve.api import create_app
    from serve.settings import resolve

    torch.set_num_threads(1)
    settings = resolve(None, [f"registry={registry_of(folder)}", *assignments])
    service = create_service(settings)
    running = Running(service, f"http://127.0.0.1:{port}")
    server = uvicorn.Server(
        uvicorn.Config(create_app(service), host="127.0.0.1", port=port, log_level="warning")
    )

    def told() -> None:
        while not service.ready:
            threading.Event().wait(0.05)
        print("ready", flush=True)

    threading.Thread(target=told, daemon=True).start()
    with paced(running.engine, PACE):
        server.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
