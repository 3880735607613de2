"""The tables of ``make paper-table`` from made comparisons; what they say is worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from paper import job_calls
from paper.figures import mean_baseline, pooled_summary, spread, spread_over
from paper.plan import Plan, Step, read_plan, steps
from paper.report import collect, draw
from paper.results_page import BEGIN, END, between_markers, shown
from paper.targets import targets

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.evaluation.judge.summary import bootstrap

ROOT = Path(__file__).parents[2]
PLAN = """
table: {languages: "bo,km", against: "base,finetune,paper-recipe", seeds: [0, 1], set: {stage_b.steps: 6}}
ablations: {languages: bo, against: "k2,no-usage"}
"""


def system(r1: float, exact: float, chrf: float, slots: int | None = 8, **more: Any) -> dict[str, Any]:
    return {
        "retrieval": {"r1": r1, "r10": 1.0, "count": 100},
        "answers": {"exact": exact, "numbers": exact, "chrf": chrf},
        "tokens": {"raw": 120.0, "slots": 20.0 if slots else 120.0},
        "slots": slots,
        **more,
    }


def judged(wins: int, losses: int, ties: int) -> dict[str, Any]:
    length = {"letters": 10.0, "words": 2.0}
    counts = {"contests": wins + losses + ties, "wins": wins, "losses": losses, "ties": ties}
    return {**counts, "flipped": 0, "unreadable": 0, "length_a": length, "length_b": None}


def document(gain: float = 0.0) -> dict[str, Any]:
    more: dict[str, Any] = {
        "passages": {"exact": 0.8 + gain, "count": 9},
        "mixed": {"exact": 0.87, "alone": 0.9, "count": 9},
    }
    return {
        "contestants": {
            "ours": system(0.9 + gain, 0.95 + gain, 90.0, slot_gain={"zero": 2.0}, seconds=60.0, **more),
            "base": system(0.0, 0.0, 10.0, None),
            "finetune": system(0.3, 0.6, 60.0, None, slot_gain={}, seconds=50.0),
            "paper-recipe": system(0.91, 0.7, 50.0, slot_gain={"zero": 1.0}, seconds=40.0),
            "k2": system(0.9, 0.8, 80.0, 2, seconds=55.0),
            "no-usage": system(0.9, 0.9, 88.0, seconds=45.0),
        },
        "judge": {"base": judged(99, 1, 0), "finetune": judged(6, 4, 10), "k2": judged(0, 0, 5)},
    }


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    return read_plan(str(file))


@pytest.fixture
def measured(plan: Plan, tmp_path: Path) -> Path:
    """A folder as if all were measured; Khmer is better by .02 than Tibetan."""
    output = tmp_path / "out"
    for step in steps(plan, output):
        step.comparison.mkdir(parents=True)
        told = document(0.02 if step.language == "km" else 0.0)
        (step.comparison / "document.json").write_text(json.dumps(told))
        call = {"commit": "abc1234", "cores": 2, "seconds": 90.0}
        (step.folder / "calls.jsonl").write_text(json.dumps(call) + "\n")
    return output


def command(*flags: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "benchmarks/paper_table.py", *flags]
    return subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_part_is_a_call_for_each_seed_and_language(plan: Plan) -> None:
    calls = steps(plan, Path("/out"))
    assert [(call.part, call.seed, call.language) for call in calls] == [
        ("table", 0, "bo"),
        ("table", 0, "km"),
        ("table", 1, "bo"),
        ("table", 1, "km"),
        ("ablations", 0, "bo"),
    ]
    assert calls[3].flags[:6] == (
        "--lang=km",
        "--against=base,finetune,paper-recipe",
        "--preset=tiny",
        "--seed=1",
        "--output=/out/table/seed-1",
        "--judge=reference",
    )
    assert calls[3].flags[6:] == (
        "--set",
        'features.directory="/out/features"',
        "--set",
        "stage_b.steps=6",
    )
    assert calls[3].comparison == Path("/out/table/seed-1/comparisons/km-tiny")
    assert len({call.comparison for call in calls}) == 5


def test_side_by_side_each_call_has_its_share_of_the_processors(plan: Plan) -> None:
    (call, *_) = steps(plan.model_copy(update={"at_once": 1_000}), Path("/out"))
    assert call.flags[-2:] == ("--set", "cluster.threads=1")


def test_calls_run_side_by_side_and_a_failure_stops_the_rest(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, int]] = []
    together = threading.Barrier(2, timeout=10)

    def evaluate(step: Step) -> None:
        begun.append((step.language, step.seed))
        if len(begun) <= 2:
            together.wait()
        if step.language == "km":
            raise JobFailed("no")

    monkeypatch.setattr(job_calls, "evaluate", evaluate)
    with pytest.raises(JobFailed, match="no"):
        job_calls.evaluate_all(steps(plan, tmp_path)[:4], 2)
    assert begun[:2] == [("bo", 0), ("km", 0)] and len(begun) <= 4


def test_the_plan_that_is_shipped_can_be_carried_out() -> None:
    shipped = read_plan(str(ROOT / "benchmarks" / "paper_table.yaml"))
    assert [language.code for language in shipped.table.chosen()] == ["am", "bo", "ka", "km"]
    assert shipped.table.systems() == ["ours", "base", "finetune", "paper-recipe"]
    assert shipped.ablations is not None and len(shipped.ablations.systems()) > 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tabel: {}", "unknown setting 'tabel'"),
        ("table: {languages: bo}", "table.against"),
        ("table: {languages: bo, against: nobody}", "table: there is nothing named 'nobody'"),
        ("table: {languages: '', against: base}", "table: languages: name at least one"),
        ("table: {languages: bo, against: ''}", "table: against: name at least one"),
        ("table: {languages: bo, against: base, seeds: []}", "seeds"),
        ("table: {languages: bo, against: base, seeds: [1, 1]}", "each seed once"),
        ("table: {languages: bo, against: base, set: {stage_b.stepps: 6}}", "did you mean stage_b.steps"),
        ("table: {languages: bo, against: base, preset: huge}", "no preset 'huge'"),
    ],
)
def test_a_wrong_plan_is_told_in_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    with pytest.raises(LlinkError) as told:
        read_plan(str(file))
    assert said in str(told.value) and str(told.value).startswith(str(file))


def test_mean_and_spread_skip_what_is_not_there() -> None:
    found = spread([0.9, None, 1.0])
    assert found is not None and (found.mean, found.low, found.high, found.count) == (0.95, 0.9, 1.0, 2)
    assert found.text() == "0.950 (0.900 to 1.000)"
    one = spread([3])
    assert one is not None and one.text(1) == "3.0" and spread([None]) is None
    documents = [document(), document(0.02)]
    assert (
        spread_over(documents, "base", "slot_gain.zero")
        is spread_over(documents, "nobody", "answers.exact")
        is None
    )


def test_targets_are_held_to_the_mean_of_differences_within_each_comparison() -> None:
    found = {target.description: target for target in targets([document(), document(0.02)])}
    told = {what: (target.measured, target.reached) for what, target in found.items()}
    assert told["default − paper recipe, answers exact, points"] == ("26.0 (25.0 to 27.0)", True)
    assert told["numbers exact, default"] == ("0.960 (0.950 to 0.970)", False)
    assert told["numbers exact, paper recipe"] == ("0.700 (0.700 to 0.700)", None)
    assert told["translation chrF, default ÷ paper recipe"] == ("1.80 (1.80 to 1.80)", True)
    assert told["R@1, default − paper recipe"] == ("0.000 (-0.010 to 0.010)", True)
    assert told["foreign beside English − foreign alone, exact, points"] == ("-3.0 (-3.0 to -3.0)", False)
    assert told["decoder prompt tokens, raw ÷ slots"] == ("6.0 (6.0 to 6.0)", True)
    passages = found["two- to six-sentence passages, a question about one sentence, exact"]
    assert passages.value == pytest.approx(0.81) and passages.reached is False
    assert found["preferred over the untrained decoder"].measured.startswith("99.0 % (")
    tuned = found["preferred over direct fine-tuning"]
    assert "12 / 8 / 20 won / lost / tied" in tuned.measured and tuned.reached is False  # 60 % of 20


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    told = document()
    told["contestants"] = {"ours": {**told["contestants"]["ours"], "passages": None, "mixed": None}}
    told["judge"] = {}
    found = {target.description: target for target in targets([told])}
    for what in (
        "default − paper recipe, answers exact, points",
        "preferred over the untrained decoder",
        "two- to six-sentence passages, a question about one sentence, exact",
        "foreign beside English − foreign alone, exact, points",
    ):
        assert (found[what].measured, found[what].reached) == ("–", None)


def test_the_judges_contests_are_put_together_before_the_interval() -> None:
    found = pooled_summary([document(), document()], "finetune")
    assert found is not None and (found.wins, found.losses, found.ties, found.contests) == (12, 8, 20, 40)
    assert (found.rate, found.rate_ties_half) == bootstrap(12, 8, 20)
    assert found.length_a is not None and found.length_a.words == 2.0 and found.length_b is None
    undecided = pooled_summary([document()], "k2")
    assert undecided is not None and undecided.rate is None and pooled_summary([document()], "nobody") is None


def test_pictures_show_means_and_all_held_out_pairs(plan: Plan, measured: Path) -> None:
    parts = collect(steps(plan, measured))
    ours = mean_baseline(parts["table"].documents, "ours").figures
    assert ours["retrieval"]["r1"] == pytest.approx(0.91) and ours["retrieval"]["count"] == 400
    drawn = draw(measured / "plots" / "ablations", parts["ablations"])
    assert list(drawn) == ["Figures", "Retrieval", "Number of slots"]  # the judge had ties alone
    small = shown({"table": draw(measured / "plots" / "table", parts["table"]), "ablations": drawn}, measured)
    assert set(small["table"]) == {"Figures", "Judge"} and set(small["ablations"]) == {"Number of slots"}
    for part in small.values():
        for address in part.values():
            picture = measured.parent / address
            assert imread(picture).shape[1] == 800 and 2_000 < picture.stat().st_size < 60_000


def test_the_command_writes_the_page_and_one_json_line(measured: Path, tmp_path: Path) -> None:
    done = command(f"--plan={tmp_path / 'plan.yaml'}", f"--output={measured}", "--tables-only")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(done.stdout.splitlines()) == 1 and told["benchmark"] == "paper-table"
    assert "numbers exact, default" in told["missed"] and told["reached"] == 5
    assert told["figures"]["table"]["ours"]["answers.exact"]["mean"] == pytest.approx(0.96)
    assert "Targets" in done.stderr and "Traceback" not in done.stderr
    text = (measured / "paper-table.md").read_text("utf-8")
    assert (
        "at commit `abc1234`, on 2 cores" in text
        and "seed 0, 1; preset `tiny`, `stage_b.steps=6`; 3 minutes, all runs added up" in text
    )
    assert "| Khmer | ours | 0.920 (0.920 to 0.920) |" in text and "| k2 | 0.900 |" in text
    assert "| finetune | 24 / 16 / 40 |" in text and "- *no-usage*: without the usage term" in text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# The paper's table",
        *(f"## {title}" for title in ("Targets", "Systems", "Judge", "By language", "Ablations")),
    ]
    for line in text.splitlines():
        if line.startswith("!["):
            assert (measured / line.partition("(")[2].rstrip(")")).is_file(), line


def test_a_comparison_without_every_system_is_not_finished(measured: Path, tmp_path: Path) -> None:
    place = measured / "table" / "seed-1" / "comparisons" / "km-tiny" / "document.json"
    told = json.loads(place.read_text())
    del told["contestants"]["finetune"]
    place.write_text(json.dumps(told))
    done = command(f"--plan={tmp_path / 'plan.yaml'}", f"--output={measured}", "--tables-only")
    assert (done.returncode, done.stdout) == (2, "") and len(done.stderr.splitlines()) == 1
    assert f"error: {place.parent} holds no finished comparison: leave out --tables-only" in done.stderr


def test_the_docs_keep_what_is_around_the_markers() -> None:
    text = f"# Results\n\n{BEGIN}\n\nold\n\n{END}\n\nrest\n"
    first = between_markers(text, ["## New", "", "row", ""], Path("results.md"))
    assert first == f"# Results\n\n{BEGIN}\n\n## New\n\nrow\n\n{END}\n\nrest\n"
    assert between_markers(first, ["## New", "", "row", ""], Path("results.md")) == first
    for bad in ("no markers", f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"):
        with pytest.raises(LlinkError, match=r"results\.md needs the lines"):
            between_markers(bad, [], Path("results.md"))


def test_the_docs_have_the_markers() -> None:
    between_markers((ROOT / "docs" / "results.md").read_text("utf-8"), [], Path("results.md"))
