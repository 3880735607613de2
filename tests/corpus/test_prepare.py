"""The whole way from settings to splits."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from llink_ray.corpus import SPLITS, Dropped, Pair, Prepared, Question, phrasebook, prepare
from llink_ray.corpus.prepared import CROSSING, MAX_SOURCES_SHOWN, corpus_hash
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.errors import LlinkError
from llink_ray.settings import CorpusSettings
from llink_ray.text import languages

KHMER = languages.find("khmer")


def write(folder: Path, rows: list[str], name: str = "my.tsv") -> CorpusSettings:
    file = folder / name
    file.write_text("".join(f"{row}\n" for row in rows), "utf-8")
    return CorpusSettings(path=str(file))


def good(count: int) -> list[str]:
    return [f"ខ្ញុំមានឆ្កែ {n} ក្បាល\tI have {n} dogs." for n in range(count)]


def refusal(settings: CorpusSettings) -> str:
    with pytest.raises(LlinkError) as caught:
        prepare(KHMER, settings, 0)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_adds_up(result: Prepared, read: int) -> None:
    splits = result.splits
    assert result.kept == len(splits.train) + len(splits.validation) + len(splits.test)
    assert result.kept + result.dropped_count == read


def test_a_file(tmp_path: Path) -> None:
    rows = ["foreign\tenglish", *good(300), "\tNothing to read here.", good(1)[0]]
    result = prepare(KHMER, write(tmp_path, rows), 0)
    assert result.kept == 300
    assert result.dropped == {"empty side": Dropped(1, [302]), "duplicate": Dropped(1, [303])}
    assert_adds_up(result, 302)


def test_a_tab_inside_a_sentence_costs_its_line_alone(tmp_path: Path) -> None:
    rows = good(300)
    rows[7] = rows[7].replace("មាន", "មាន\t")
    result = prepare(KHMER, write(tmp_path, rows), 0)
    assert result.kept == 299 and result.dropped == {"another number of columns": Dropped(1, [8])}
    assert_adds_up(result, 300)
    message = refusal(write(tmp_path, ["foreign\tenglish", *(f"{row}\t0.7" for row in rows[:3])]))
    assert "another number of columns 3 (lines 2, 3, 4)" in message and "one tab between" in message


def test_hash_tells_what_is_in_it_and_not_in_which_order(tmp_path: Path) -> None:
    rows = good(100)
    first = prepare(KHMER, write(tmp_path, rows), 0).corpus_hash
    assert len(first) == 64
    assert prepare(KHMER, write(tmp_path, [*rows[::-1], rows[0]]), 1).corpus_hash == first
    assert prepare(KHMER, write(tmp_path, good(101)), 0).corpus_hash != first


def test_hash_tells_the_questions(tmp_path: Path) -> None:
    row = '{{"foreign": "ខ្ញុំមានឆ្កែ {n} ក្បាល", "english": "I have {n} dogs."{more}}}'
    asked = ', "questions": [{"kind": "who", "instruction": "Who?", "answer": "I"}]'
    chosen = asked.replace('"I"}', '"I", "choices": ["I", "you"]}')
    hashes = set()
    for more in ("", asked, chosen):
        settings = write(tmp_path, [row.format(n=n, more=more) for n in range(100)], "a.jsonl")
        hashes.add(prepare(KHMER, settings, 0).corpus_hash)
    assert len(hashes) == 3


def test_hash_of_a_text_is_what_it_was() -> None:
    """Bundles name it: neither sources nor empty choices may change it."""
    pair = Pair("ខ្ញុំ", "I", (Question("who", "Who?", "I"),), 3)
    told = "83ef7fc636381985efce4e6d0bb363c30efbc0352b417474da572b29ae8686f7"
    assert corpus_hash([pair]) == corpus_hash([replace(pair, source="x", line=0)]) == told


def sourced(tmp_path: Path, *held_out: str) -> CorpusSettings:
    rows = ["source\tforeign\tenglish"]
    rows += [f"{'news' if n % 4 else 'health'}\t{row}" for n, row in enumerate(good(200))]
    rows += ["news\tខ្ញុំមានឆ្កែ 8 ក្បាល\tI own eight dogs."]  # the foreign side of a pair of health
    file = tmp_path / "sourced.tsv"
    file.write_text("".join(f"{row}\n" for row in rows), "utf-8")
    return CorpusSettings(path=str(file), held_out_sources=held_out)


def test_sources_are_counted_by_split(tmp_path: Path) -> None:
    result = prepare(KHMER, sourced(tmp_path), 0)
    account = result.account()
    assert set(account["sources"]) == {"news", "health"}
    for name in SPLITS:
        assert sum(counts[name] for counts in account["sources"].values()) == account[name]
    assert account["unseen"] == 0 and account["kept"] == 201
    assert "sources" not in prepare(KHMER, write(tmp_path, good(100)), 0).account()


def test_held_out_sources_are_apart(tmp_path: Path) -> None:
    result = prepare(KHMER, sourced(tmp_path, "health"), 0)
    assert {pair.source for pair in result.splits.unseen} == {"health"}
    assert result.dropped == {CROSSING: Dropped(1, [202])}
    assert result.account()["sources"]["health"] == {"train": 0, "validation": 0, "test": 0, "unseen": 50}
    assert result.kept == 200
    rest = [pair for name in SPLITS for pair in getattr(result.splits, name)]
    assert result.corpus_hash == corpus_hash(rest)


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    message = refusal(sourced(tmp_path, "health", "sports"))
    assert "sourced.tsv has no source 'sports'" in message
    assert message.endswith("name one of 'health', 'news'")
    bare = write(tmp_path, good(50)).model_copy(update={"held_out_sources": ("x",)})
    assert "none of its pairs names a source" in refusal(bare)


def test_a_source_for_every_line_is_no_flood(tmp_path: Path) -> None:
    rows = ["source\tforeign\tenglish", *(f"page {n}\t{row}" for n, row in enumerate(good(100)))]
    settings = write(tmp_path, rows)
    account = prepare(KHMER, settings, 0).account()
    assert len(account["sources"]) == MAX_SOURCES_SHOWN + 1
    assert sum(account["sources"]["…"].values()) == 100 - MAX_SOURCES_SHOWN
    message = refusal(settings.model_copy(update={"held_out_sources": ("other",)}))
    assert "'page 0', 'page 1'" in message and message.endswith("…") and len(message) < 800


@pytest.mark.parametrize("code", phrasebook.languages())
def test_phrasebook_is_clean_and_without_loss(code: str) -> None:
    settings = CorpusSettings(pairs=200)
    result = prepare(languages.find(code), settings, 0)
    assert result.dropped == {}
    assert_adds_up(result, 200)
    train = {sentence_key(pair.english) for pair in result.splits.train}
    assert not train & {sentence_key(pair.english) for pair in result.splits.test}
    assert all(phrasebook.part_of(pair.english) == "bundle" for pair in result.splits.train)
    assert prepare(languages.find(code), settings, 0) == result
    assert prepare(languages.find(code), settings, 1).corpus_hash != result.corpus_hash


def test_language_without_a_phrasebook() -> None:
    with pytest.raises(LlinkError, match="no embedded phrasebook"):
        prepare(languages.find("burmese"), CorpusSettings(), 0)


def test_every_line_dropped(tmp_path: Path) -> None:
    rows = ["bonjour mon ami\thello my friend", "au revoir\tgoodbye", "\tyes"]
    message = refusal(write(tmp_path, rows))
    assert "my.tsv" in message
    assert "every one of its 3 pairs was dropped" in message
    assert "wrong script 2 (lines 1, 2), empty side 1 (line 3)" in message
    assert "Khmer" in message


def test_columns_the_wrong_way_round(tmp_path: Path) -> None:
    rows = ["\t".join(reversed(row.split("\t"))) for row in good(10)]
    message = refusal(write(tmp_path, rows))
    assert "sides swapped 10" in message
    assert "swap the two columns" in message


def test_source_equal_to_target(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, ["ខ្ញុំមានឆ្កែ\tខ្ញុំមានឆ្កែ"]))
    assert "its one pair was dropped: source equals target 1 (line 1)" in message


def test_one_pair(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, [*good(1), *good(1)]))
    assert "1 usable pair " in message
    assert "duplicate 1 (line 2)" in message


real = pytest.mark.skipif(
    "LLINK_DATA" not in os.environ, reason="LLINK_DATA, the folder of real parallel text, is not set"
)


@real
@pytest.mark.parametrize(
    ("code", "reasons", "kept"),
    [
        ("km", {"duplicate", "length ratio", "too long"}, 0.99),
        ("bo", {"duplicate", "length ratio", "too long", "too short"}, 0.99),
    ],
)
def test_real_text(code: str, reasons: set[str], kept: float) -> None:
    file = Path(os.environ["LLINK_DATA"]) / "parallel" / f"{code}.tsv"
    lines = file.read_bytes().count(b"\n") - 1
    result = prepare(languages.find(code), CorpusSettings(path=str(file)), 0)
    assert_adds_up(result, lines)
    assert set(result.dropped) - {"wrong language"} == reasons
    assert result.kept / lines > kept
    assert all(entry.first_lines for entry in result.dropped.values())
    splits = [result.splits.train, result.splits.validation, result.splits.test]
    keys = [{sentence_key(text) for pair in part for text in (pair.foreign, pair.english)} for part in splits]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]
    assert len(splits[2]) / result.kept == pytest.approx(0.1, abs=0.02)


@real
def test_real_text_of_a_neighbour_is_noticed(tmp_path: Path) -> None:
    dzongkha = Path(os.environ["LLINK_DATA"]) / "parallel" / "dz.tsv"
    rows = dzongkha.read_text("utf-8").split("\n")[:801]
    result = prepare(languages.find("bo"), write(tmp_path, rows), 0)
    assert result.dropped["wrong language"].count > 400  # of shorter sentences it cannot be sure
