"""Figures of sweeps that take too long for tests, each a part that can be run by its name.

    python benchmarks/sweeps.py --part trials       # 16 Stage A trials: forwards, and where the time goes
    python benchmarks/sweeps.py --part large        # the same with encoder and decoder 20 times larger
    python benchmarks/sweeps.py --part asha         # 32 trials pruned against 32 that are not
    python benchmarks/sweeps.py --part languages    # four languages apart, and jointly
    python benchmarks/sweeps.py --part again        # best.yaml through jobs/train.py: the same figure?
    python benchmarks/sweeps.py --part killed       # killed at 40 % and resumed, against unbroken
    python benchmarks/sweeps.py --part slots        # K from 1 to 32: answers against prompt tokens
    python benchmarks/sweeps.py --part trials --set corpus.pairs=2000      # smaller

Every part calls ``jobs/tune.py`` as a person would; sweeps go to ``runs/benchmark-sweeps/<part>``. Progress
goes to stderr; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the package is not installed

from llink_ray.sweeps.search import read_search
from llink_ray.training import history

ROOT = Path(__file__).resolve().parents[1]
Document = dict[str, Any]
LARGER = {"hidden_size": 3.0, "intermediate_size": 3.0, "num_attention_heads": 3.0, "num_hidden_layers": 2.25}
"""Times the embedded models' sizes: 20 times their weights beside the vocabulary."""
PAIRS = 12_000
"""As many as the preset has of its own."""
K = (1, 2, 4, 8, 16, 32)


def job(name: str, folder: Path, flags: Sequence[str]) -> Document:
    """One job to its end; its last line, with the seconds that a person waited."""
    started = time.monotonic()
    print(f"{name} {' '.join(flags)}", file=sys.stderr, flush=True)
    done = subprocess.run(  # noqa: S603 - this project's own command
        [sys.executable, str(ROOT / "jobs" / f"{name}.py"), *flags, f"--output={folder}"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    document: Document = json.loads(done.stdout.splitlines()[-1])
    return document | {"waited": round(time.monotonic() - started, 1)}


def best(document: Document, study: str = "bo", language: str | None = None) -> float:
    """R@1 of a study's best trial."""
    metrics: Document = document["studies"][study]["best"][0]["metrics"]
    return float(metrics[language or study]["retrieval.r1"])


def steps(document: Document) -> int:
    """Training steps of all trials."""
    return sum(study["steps"] for study in document["studies"].values())


def trials(folder: Path, flags: Sequence[str], count: int = 16) -> Document:
    """Forwards of a sweep and of a single run; time beside the trials' own steps."""
    common = ["--lang=bo", "--space=projector", "--algorithm=random", "--scheduler=none", *flags]
    sweep = job("tune", folder / "sweep", [*common, f"--trials={count}"])
    one = job("tune", folder / "one", [*common, "--trials=1"])
    parts = sweep["parts"]
    working = parts["of_trials"]["steps"] / parts["at_a_time"]
    return {
        "trials": count,
        "forwards": {"sweep": sweep["features"]["forwards"], "one run": one["features"]["forwards"]},
        "seconds": {"sweep": sweep["waited"], "one run": one["waited"]},
        "seconds_over_one_run": round(sweep["waited"] / one["waited"], 2),
        "steps_seconds": round(working, 1),
        "beyond_steps_seconds": round(sweep["waited"] - working, 1),
        "allowed_seconds": round(0.2 * working + 60, 1),
        "where": {
            "start, pairs, features": parts["before"],
            "trials, wall clock": parts["trials"],
            "report": parts["after"],
            **{f"in trials: {name}": seconds for name, seconds in parts["of_trials"].items()},
            "trials at a time": parts["at_a_time"],
            "command and Ray's end": round(sweep["waited"] - sweep["seconds"], 1),
        },
    }


def large(folder: Path, flags: Sequence[str]) -> Document:
    """The same with larger models of random weights: features dominate, and are paid once."""
    encoder, decoder = write_larger(folder / "models")
    named = [f"--encoder={encoder}", f"--decoder={decoder}", "--set=encoder.pooling=mean"]
    corpus = write_corpus(folder / "pairs.tsv", PAIRS)
    return trials(folder, [*named, f"--corpus={corpus}", "--preset=tiny", *flags])


def write_larger(folder: Path) -> tuple[Path, Path]:
    """Directories of larger models with the embedded ones' tokenizers."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

    from llink_ray.models.locate import locate

    made = []
    for part, kind in (("encoder", AutoModel), ("decoder", AutoModelForCausalLM)):
        source, target = locate("embedded", part), folder / part
        config = AutoConfig.from_pretrained(source)
        for name, times in LARGER.items():
            setattr(config, name, -int(-getattr(config, name) * times // 1))
        if part == "decoder":
            config.num_key_value_heads = config.num_attention_heads
        torch.manual_seed(0)
        kind.from_config(config).to(torch.float32).save_pretrained(target)
        AutoTokenizer.from_pretrained(source).save_pretrained(target)
        made.append(target)
    return made[0], made[1]


def write_corpus(path: Path, count: int) -> Path:
    """Pairs of the phrasebook as a file, which models of one's own want."""
    from llink_ray.corpus.phrasebook import pairs

    lines = ["foreign\tenglish", *(f"{pair.foreign}\t{pair.english}" for pair in pairs("bo", count, seed=0))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def asha(folder: Path, flags: Sequence[str]) -> Document:
    """The same 32 settings, pruned and not."""
    common = ["--lang=bo", "--space=projector", "--algorithm=random", "--trials=32", *flags]
    found = {name: job("tune", folder / name, [*common, f"--scheduler={name}"]) for name in ("asha", "none")}
    return {
        "steps": {name: steps(one) for name, one in found.items()},
        "steps_ratio": round(steps(found["asha"]) / steps(found["none"]), 3),
        "best_r1": {name: best(one) for name, one in found.items()},
        "pruned": found["asha"]["studies"]["bo"]["pruned"],
        "seconds": {name: one["waited"] for name, one in found.items()},
    }


def languages(folder: Path, flags: Sequence[str]) -> Document:
    """Each language's best, and what one setting for all loses."""
    common = ["--lang=all", "--space=projector", "--trials=12", *flags]
    apart, joint = (
        job("tune", folder / name, [*common, *more]) for name, more in (("apart", []), ("joint", ["--joint"]))
    )
    own = {code: best(apart, code) for code in apart["studies"]}
    shared = {code: best(joint, "joint", code) for code in own}
    return {
        "best_r1": own,
        "joint_r1": shared,
        "furthest_behind": round(max(own[code] - shared[code] for code in own), 4),
        "seconds": {"apart": apart["waited"], "joint": joint["waited"]},
    }


def again(folder: Path, flags: Sequence[str]) -> Document:
    """The best trial's figure, and that of ``jobs/train.py`` with its settings."""
    sweep = job("tune", folder, ["--lang=bo", "--space=projector", "--trials=6", *flags])
    file = Path(sweep["run_dir"]) / "best.yaml"
    run = job("train", folder, ["--lang=bo", f"--settings={file}", "--set=stage_b.steps=2"])
    records = [r for r in history.read(Path(run["run_dir"]) / history.NAME) if r["stage"] == "a"]
    figures = {"trial": best(sweep), "train.py": records[-1]["validation/r1"]}
    return figures | {"apart": round(abs(figures["trial"] - figures["train.py"]), 6)}


def killed(folder: Path, flags: Sequence[str], count: int = 10) -> Document:
    """A sweep killed when 40 % of its trials have ended, and gone on with, against an unbroken one."""
    common = ["--lang=bo", "--space=projector", f"--trials={count}", *flags]
    whole = job("tune", folder / "whole", common)
    command = [sys.executable, str(ROOT / "jobs" / "tune.py"), *common, f"--output={folder / 'broken'}"]
    process = subprocess.Popen(  # noqa: S603 - this project's own command
        command, start_new_session=True, stdout=subprocess.DEVNULL
    )

    def ended() -> int:
        begun = [file.parent for file in (folder / "broken").glob("sweep-*/trials.jsonl")]
        trials = [trial for sweep in begun for trial in read_search(sweep).all_trials()]
        return sum(trial.state != "running" for trial in trials)

    while ended() < 0.4 * count and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    at = ended()
    (left,) = (folder / "broken").glob("sweep-*")
    resumed = job("tune", folder / "broken", [f"--resume={left}"])
    return {
        "ended_at_kill": at,
        "same": resumed["studies"] == whole["studies"],
        "finished": {
            "whole": whole["studies"]["bo"]["finished"],
            "resumed": resumed["studies"]["bo"]["finished"],
        },
        "best_r1": {"whole": best(whole), "resumed": best(resumed)},
    }


def slots(folder: Path, flags: Sequence[str]) -> Document:
    """K alone is searched; every other setting is the preset's."""
    space = folder / "k.py"
    space.parent.mkdir(parents=True, exist_ok=True)
    told = ", ".join(map(str, K))
    space.write_text(
        "from llink_ray.sweeps import choice\n\n"
        f"SPACE = {{'slots.count': choice({told}, why='Powers of two, as the paper has.')}}\n"
    )
    common = ["--lang=bo", f"--space={space}", "--algorithm=grid", "--scheduler=none", "--evaluations=2"]
    sweep = job("tune", folder, [*common, "--objective=answers.exact,prompt_tokens", *flags])
    return {"report": sweep["report"], "pareto": sweep["studies"]["bo"]["best"], "seconds": sweep["waited"]}


PARTS: dict[str, Callable[[Path, Sequence[str]], Document]] = {
    "trials": trials,
    "large": large,
    "asha": asha,
    "languages": languages,
    "again": again,
    "killed": killed,
    "slots": slots,
}


def main() -> None:
    """Read the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Figures of sweeps that take too long for tests.")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="again for several; else all")
    parser.add_argument("--output", type=Path, default=Path("runs") / "benchmark-sweeps")
    parser.add_argument("--set", action="append", default=[], dest="assigned", help="KEY=VALUE, any setting")
    given = parser.parse_args()
    flags = [f"--set={text}" for text in given.assigned]
    found = {}
    for part in given.part or list(PARTS):
        folder = given.output.resolve() / part
        shutil.rmtree(folder, ignore_errors=True)  # features of an earlier time would spare the forwards
        found[part] = PARTS[part](folder, flags)
        print(json.dumps({part: found[part]}, indent=1), file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "sweeps", "parts": found, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
