"""An insight in the terminal and as a PNG, for any number of slots, tokens and texts."""

from __future__ import annotations

import io
import re
import struct
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from llink_ray.evaluation import insight_plots
from llink_ray.evaluation.insight import Insight, Slot, TokenScore
from llink_ray.evaluation.insight_tables import groups, insight_tables, percent, print_insight, show_token


def made(slots: int = 8, tokens: int = 5, texts: int = 3, layers: int = 2, share: float = 0.05) -> Insight:
    """An insight in which slot k has the share (k + 1) · 0.005 and ``share`` is on the numerals."""
    own = [(k + 1) * 0.005 / (slots / 8) ** 2 for k in range(slots)]
    row = [*own, 0.1, share, 1 - sum(own) - 0.1 - share, 0.0]
    words = [
        TokenScore(" farmer", 0.61),
        TokenScore("\n", 0.5),
        TokenScore("[red]x", -0.1),
        TokenScore("ཁྱི", 0.05),
        TokenScore("b" * 40, 0),
    ]
    cosines = [
        [1.0 if i == j else max(-1.0, round(0.9 - 0.05 * (i + j), 4)) for i in range(slots)]
        for j in range(slots)
    ]
    return Insight(
        language="bo",
        instruction="Who sold [bold]30[/bold] $x$ horses?",
        text="ཁྱི ར ང " * 30,
        others=[f"ཁྱི {i}" for i in range(texts - 1)],
        answer="the farmer" * (tokens > 0),
        answer_tokens=[f" token{t}" for t in range(tokens)],
        columns=[*map(str, range(1, slots + 1)), "marks", "numerals", "instruction", "answer"],
        attention=[row] * tokens,
        attention_by_layer=[[row] * tokens] * layers,
        attention_missing="",
        slots=[Slot(words, words[::-1])] * slots,
        within=cosines,
        between=[[1.0] * texts] * texts,
        pieces=["ཁྱི", "##ར", "[UNK]"] * 30,
        unknown=30,
        numerals=["30", "1205"],
        tokens_raw=1234,
        tokens_slots=31,
    )


def shown(seen: Insight, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_insight(seen, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(text: str, start: str) -> list[str]:
    found = [line.strip() for line in text.splitlines() if line.strip().startswith(start)]
    assert len(found) == 1, (start, found)
    return re.split(r"\s{2,}", found[0])


def test_eight_slots_fit_eighty_columns_one_by_one() -> None:
    text = shown(made())
    heads = [line.split() for line in text.splitlines() if line.strip().startswith("1  2  3")]
    assert heads == [[*"12345678", "marks", "nums", "instr", "ans"]] * 2
    assert max(map(cell_len, text.splitlines())) <= 80
    assert cells(text, "·token3") == ["·token3", *"11223344", "10", "5", "67", "·"]
    assert cells(text, "layer 2")[1:] == cells(text, "·token3")[1:]


@pytest.mark.parametrize("slots", [1, 3, 8, 9, 16, 32, 64])
@pytest.mark.parametrize("tokens", [1, 5, 90])
def test_any_number_of_slots_fits_eighty_columns(slots: int, tokens: int) -> None:
    seen = made(slots, tokens, layers=32)
    text = shown(seen)
    assert max(map(cell_len, text.splitlines())) <= 80
    table = next(s for s in insight_tables(seen) if s.title.startswith("Attention by answer token"))
    parts = table.columns[1:-4]
    covered: list[int] = []
    for part in parts:
        first, _, last = part.partition("-")
        covered += range(int(first), int(last or first) + 1)
    assert covered == list(range(1, slots + 1))
    if slots == 8:
        assert len(parts) == 8


@pytest.mark.parametrize("count", [2, 7, 10, 11, 12, 40])
def test_any_number_of_texts_fits_eighty_columns(count: int) -> None:
    seen = replace(made(texts=count), within=made(count).within, between=[[-0.25] * count] * count)
    text = shown(seen)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "…" not in text[text.index("Slots beside") : text.index("Texts\n")]
    assert text.count("-0.25") == (count * count if count <= 10 else 3)


def test_neighbours_are_added_up() -> None:
    table = next(s for s in insight_tables(made(16)) if s.title.startswith("Attention by answer token"))
    shares = [0 if cell == "·" else int(cell) for cell in table.rows[0][1:-4]]
    whole = sum(made(16).attention[0][:16]) * 100
    assert abs(sum(shares) - whole) <= 0.5 * len(shares)


@pytest.mark.parametrize(
    ("share", "text"), [(0, "·"), (0.0049, "·"), (0.005, "1"), (0.126, "13"), (1.0, "100")]
)
def test_per_cent(share: float, text: str) -> None:
    assert percent(share) == text


def test_groups_are_as_small_as_the_room_allows() -> None:
    assert groups(8, 40) == [range(k, k + 1) for k in range(8)]
    assert groups(8, 39) == [range(k, k + 2) for k in range(0, 8, 2)]
    assert groups(5, 1) == [range(5)]


def test_a_wider_terminal_shows_more_of_them() -> None:
    assert "15-16" not in shown(made(16), 200)
    assert re.search(r" 15 +16 +marks", shown(made(16), 200))
    assert re.search(r"1-\d+ ", shown(made(16), 80))


def test_everything_is_in_it() -> None:
    text = shown(made())
    assert "30, 1205" in text and "31 with slots, 1234 with the raw text" in text
    assert "90 pieces, 30 of them unknown: ཁྱི ##ར [UNK]" in re.sub(r"\s+", " ", text)
    assert "·farmer(0.61)" in text and "[red]x(-0.10)" in text
    assert "[bold]30[/bold]" in text  # taken literally
    assert "↵" in text
    assert "Mean over 3 texts" in text and "mean slots" in text


def test_matrices_that_do_not_fit_say_what_stands_out() -> None:
    text = shown(made(20))
    assert "most alike (1 and 2)" in text and "least alike (19 and 20)" in text
    assert cells(text, "most alike (1")[-1] == "0.85"
    assert cells(text, "least alike (19")[-1] == "-0.95"


def test_what_is_missing_is_said() -> None:
    seen = replace(made(texts=1), attention=[], attention_by_layer=[], attention_missing="they do not say")
    text = shown(seen)
    assert "none: they do not say" in text and "layer" not in text
    assert "Texts" not in text
    nothing = replace(seen, answer="", numerals=[], unknown=0)
    assert "(nothing)" in shown(nothing) and "(empty)" in shown(nothing)


def test_tables_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_insight(made())
    found = capsys.readouterr()
    assert found.out == "" and "Slots in words" in found.err


def test_blanks_and_control_letters_are_seen() -> None:
    assert show_token(" a\tb\n\x07") == "·a→b↵\\x07"
    assert show_token("x" * 50) == "x" * 11 + "…"


def width(path: Path) -> int:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int(struct.unpack(">I", head[16:20])[0])


@pytest.mark.parametrize(
    ("slots", "tokens", "texts"), [(8, 5, 3), (1, 1, 1), (32, 90, 40), (3, 0, 2)], ids=str
)
def test_it_is_drawn_without_a_warning(tmp_path: Path, slots: int, tokens: int, texts: int) -> None:
    seen = replace(made(slots, tokens, texts), answer="ཁྱི $\\frac$ 😀 <b>\n", answer_tokens=["ཁྱི$_{"] * tokens)
    if not tokens:
        seen = replace(seen, attention_missing="they do not say")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        path = insight_plots.draw_insight(seen, tmp_path / "deep" / "insight.png")
    assert width(path) == 1600


def test_letters_that_the_font_lacks_are_boxes() -> None:
    assert insight_plots.drawable("ཁ a") == "□·a"
    assert insight_plots.drawable("$x$") == r"\$x\$"
