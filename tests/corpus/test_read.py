"""Files of parallel text: what is read from them, and what is said of the bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llink_ray.corpus.pair import Pair, Question
from llink_ray.corpus.read import read
from llink_ray.errors import LlinkError


def write(folder: Path, name: str, content: str | bytes) -> str:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


def refusal(path: str) -> str:
    with pytest.raises(LlinkError) as caught:
        list(read(path))
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert path.rsplit("/", 1)[-1] in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "header",
    [
        "foreign\tenglish",
        "Foreign\tEN",
        "km\ten",
        "Khmer\tEnglish",
        "khm_Khmr\teng_Latn",
        "km-KH\ten-US",
        "km_KH\ten_XX",
        "km_KH.UTF-8\ten_GB.UTF-8",
        "km-Khmr\ten-001",
        "lang_km\tlang_en",
        "km_text\tenglish_text",
        "sentence_khm_Khmr\tsentence_eng_Latn",
        "src.km\ttgt.en",
        "\u200ekm\u200b\t\u00a0English\ufeff",
    ],
)
def test_header_in_any_usual_form(tmp_path: Path, header: str) -> None:
    path = write(tmp_path, "a.tsv", f"{header}\nឆ្កែ\tdog\n")
    assert list(read(path)) == [Pair("ឆ្កែ", "dog", line=2)]


def test_columns_go_by_name_and_others_are_ignored(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "domain\ten\tforeign\tid\nx\tdog\tឆ្កែ\t1\n")
    assert list(read(path)) == [Pair("ឆ្កែ", "dog", line=2)]


@pytest.mark.parametrize("header", ["source\ten\tforeign", " Source \ten\tkm"])
def test_source_column_says_where_a_pair_comes_from(tmp_path: Path, header: str) -> None:
    path = write(tmp_path, "a.tsv", f"{header}\ntico19\tdog\tឆ្កែ\n\tcat\tឆ្មា\n")
    assert list(read(path)) == [
        Pair("ឆ្កែ", "dog", line=2, source="tico19"),
        Pair("ឆ្មា", "cat", line=3, source=""),
    ]


def test_foreign_wins_over_columns_that_look_like_languages(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "id\ten\tforeign\n7\tdog\tឆ្កែ\n")
    assert list(read(path)) == [Pair("ឆ្កែ", "dog", line=2)]


def test_no_header_means_foreign_then_english(tmp_path: Path) -> None:
    path = write(tmp_path, "a.TSV", "ឆ្កែ\tdog\nឆ្មា\tcat")
    assert list(read(path)) == [Pair("ឆ្កែ", "dog", line=1), Pair("ឆ្មា", "cat", line=2)]


def test_byte_order_mark_and_crlf_are_no_text(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + "foreign\tenglish\r\nឆ្កែ\tdog\r\n".encode()
    assert list(read(write(tmp_path, "a.tsv", content))) == [Pair("ឆ្កែ", "dog", line=2)]


def test_quotes_and_unicode_line_marks_are_ordinary_letters(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", 'foreign\tenglish\n"ឆ្កែ\t"dog\nឆ្មា\u2028\x85x\tca"t\n')
    assert list(read(path)) == [Pair('"ឆ្កែ', '"dog', line=2), Pair("ឆ្មា\u2028\x85x", 'ca"t', line=3)]


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl"])
def test_blank_line_keeps_the_numbers_of_the_others(tmp_path: Path, name: str) -> None:
    rows = {"a.tsv": "ឆ្កែ\tdog", "a.jsonl": '{"foreign": "ឆ្កែ", "english": "dog"}'}[name]
    path = write(tmp_path, name, f"\n{rows}\n\n{rows}\n")
    assert [(pair.english, pair.line) for pair in read(path)] == [("", 1), ("dog", 2), ("", 3), ("dog", 4)]


def test_jsonl_carries_questions(tmp_path: Path) -> None:
    rows = [
        {"foreign": "ឆ្កែ", "english": "dog", "id": 7},
        {
            "foreign": "ឆ្មា៣",
            "english": "3 cats",
            "questions": [{"kind": "how_many", "instruction": "How many?", "answer": "3"}],
        },
        {"foreign": "គោ", "english": "cow", "questions": None},
        {
            "foreign": "ជ្រូក",
            "english": "pig",
            "source": "farm",
            "questions": [
                {"kind": "t", "instruction": "Topic?", "answer": "animals", "choices": ["sports", "animals"]},
            ],
        },
        {"foreign": "ក្ងាន", "english": "goose", "source": None},
    ]
    path = write(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert list(read(path)) == [
        Pair("ឆ្កែ", "dog", line=1),
        Pair("ឆ្មា៣", "3 cats", (Question("how_many", "How many?", "3"),), 2),
        Pair("គោ", "cow", line=3),
        Pair("ជ្រូក", "pig", (Question("t", "Topic?", "animals", ("sports", "animals")),), 4, "farm"),
        Pair("ក្ងាន", "goose", line=5),
    ]


def test_missing_file_is_refused_before_the_first_pair(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match=r"none\.tsv does not exist"):
        read(str(tmp_path / "none.tsv"))


def test_directory(tmp_path: Path) -> None:
    folder = tmp_path / "a.tsv"
    folder.mkdir()
    assert "is a directory" in refusal(str(folder))


@pytest.mark.parametrize("name", ["a.csv", "a"])
def test_unknown_suffix_names_the_known(tmp_path: Path, name: str) -> None:
    message = refusal(write(tmp_path, name, "x"))
    assert ".tsv" in message
    assert ".jsonl" in message


def test_name_longer_than_the_system_allows(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(str(tmp_path / ("a" * 5_000 + ".tsv")))


def test_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.tsv", "ឆ្កែ\tdog\n")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # root may read everything, so chmod would not do
    assert "cannot be read (Permission denied)" in refusal(path)


@pytest.mark.parametrize("content", ["", "\ufeff", "\n \n"])
@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl"])
def test_empty_file(tmp_path: Path, name: str, content: str) -> None:
    assert "holds no pairs" in refusal(write(tmp_path, name, content))


def test_header_alone(tmp_path: Path) -> None:
    assert "holds no pairs" in refusal(write(tmp_path, "a.tsv", "foreign\tenglish\n"))


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("dog", "1 column"),
        ("ឆ្កែ,dog", "'ឆ្កែ,dog'"),
        ("ឆ្កែ\tdog\t0.7", "3 columns"),
        ("source\ttarget", "no English column"),
        ("km\tbo", "no English column"),
        ("foreign\ttext", "no English column"),
        ("en\ttext", "no foreign column"),
        ("km\tbo\ten", "more than one foreign column"),
        ("foreign\ten\tenglish", "more than one English column"),
    ],
)
def test_columns_that_cannot_be_told_apart(tmp_path: Path, first: str, said: str) -> None:
    message = refusal(write(tmp_path, "a.tsv", f"{first}\n"))
    assert said in message
    assert "line 1" in message
    assert "wanted is" in message


@pytest.mark.parametrize("row", ["ឆ្កែ", "ឆ្កែ\tdog\tmore", "ឆ្\tកែ\tdog", "ឆ្កែ\tdog\t", "ឆ្កែ\td\to\tg"])
@pytest.mark.parametrize("header", ["foreign\tenglish\n", ""])
def test_line_with_another_number_of_columns_is_told_and_no_other_suffers(
    tmp_path: Path, row: str, header: str
) -> None:
    path = write(tmp_path, "a.tsv", f"{header}ឆ្មា\tcat\n{row}\nគោ\tcow\n")
    first = 1 + bool(header)
    assert list(read(path)) == [
        Pair("ឆ្មា", "cat", line=first),
        Pair("", "", line=first + 1, fault="another number of columns"),
        Pair("គោ", "cow", line=first + 2),
    ]


@pytest.mark.parametrize("row", ["ឆ្\tកែ\tdog", "ឆ្កែ\tdog\t", "# dogs and cats"])
def test_the_first_line_of_a_file_without_a_header_may_be_the_odd_one(tmp_path: Path, row: str) -> None:
    path = write(tmp_path, "a.tsv", f"\n{row}\nឆ្មា\tcat\n\nគោ\tc\tow\nជ្រូក\tpig\n")
    told = "another number of columns"
    assert list(read(path)) == [
        Pair("", "", line=1),
        Pair("", "", line=2, fault=told),
        Pair("ឆ្មា", "cat", line=3),
        Pair("", "", line=4),
        Pair("", "", line=5, fault=told),
        Pair("ជ្រូក", "pig", line=6),
    ]
    few = write(tmp_path, "b.tsv", f"{row}\nឆ្មា\tcat\nគោ\tc\tow\n")
    with pytest.raises(LlinkError, match="line 1 has"):
        list(read(few))


def test_texts_by_language_as_hugging_face_has_them(tmp_path: Path) -> None:
    rows = [
        {"translation": {"en": "dog", "km": "ឆ្កែ"}, "id": "0"},
        {"translation": {"km": "ឆ្មា", "en": "cat"}, "source": "farm"},
        {"translation": {"eng_Latn": "cow", "khm_Khmr": "គោ"}},
        {"translation": {"english": "pig", "foreign": "ជ្រូក"}},
        {"foreign": "ក្ងាន", "english": "goose", "translation": "oie"},
    ]
    path = write(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert list(read(path)) == [
        Pair("ឆ្កែ", "dog", line=1),
        Pair("ឆ្មា", "cat", line=2, source="farm"),
        Pair("គោ", "cow", line=3),
        Pair("ជ្រូក", "pig", line=4),
        Pair("ក្ងាន", "goose", line=5),
    ]


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl"])
def test_bad_utf8_names_line_and_byte(tmp_path: Path, name: str) -> None:
    good = {"a.tsv": "ឆ្កែ\tdog\n", "a.jsonl": '{"foreign": "ឆ្កែ", "english": "dog"}\n'}[name]
    message = refusal(write(tmp_path, name, good.encode() + b"ab\xffc\tdog\n"))
    assert "line 2" in message
    assert "byte 3" in message
    assert "0xff" in message


def test_utf16_is_called_by_its_name(tmp_path: Path) -> None:
    assert "UTF-16" in refusal(write(tmp_path, "a.tsv", "ឆ្កែ\tdog\n".encode("utf-16")))


def asking(questions: str) -> str:
    return f'{{"foreign": "x", "english": "y", "questions": {questions}}}'


def choosing(choices: str) -> str:
    return f'[{{"kind": "who", "instruction": "Who?", "answer": "I", "choices": {choices}}}]'


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "must be a JSON object, not a list"),
        ('{"english": "dog", "km": "x"}', "lacks 'foreign': found 'english', 'km'"),
        ('{"foreign": "x"}', "lacks 'english'"),
        ('{"foreign": 3, "english": "dog"}', "'foreign' must be a string, not a number"),
        ('{"foreign": "x", "english": null}', "'english' must be a string, not null"),
        (asking('"z"'), "'questions' must be a list"),
        (asking('["z"]'), "question 1 must be a JSON object"),
        (asking('[{"kind": "who"}]'), "question 1 lacks 'instruction'"),
        (asking('[{"kind": "who", "instruction": "Who?", "answer": " "}]'), "must not be empty"),
        (asking(choosing('"x"')), "question 1: 'choices' must be a list of strings"),
        (asking(choosing('["x", 3]')), "question 1: 'choices' must be a list of strings"),
        (asking(choosing('["x", " "]')), "question 1: 'choices' must be a list of strings"),
        (asking(choosing('["x", "y"]')), "question 1: the answer 'I' is none of its 'choices'"),
        (asking(choosing("[]")), "question 1: the answer 'I' is none of its 'choices'"),
        (
            '{"translation": ["x", "y"]}',
            "'translation', must be an object like {'en': …, 'km': …}, not a list",
        ),
        ('{"translation": {"km": "x", "bo": "y"}}', "'translation', has 'km', 'bo': wanted are 'en' and"),
        ('{"translation": {"en": "x", "km": "y", "bo": "z"}}', "has 'en', 'km', 'bo': wanted are 'en' and"),
        ('{"translation": {"a": "x", "b": "y"}}', "has 'a', 'b': wanted are"),
        ('{"translation": {}}', "has no keys: wanted are"),
        ('{"translation": {"en": "x", "km": null}}', "'km' must be a string, not null"),
        ('{"foreign": "x", "english": "y", "source": 3}', "'source' must be a string, not a number"),
    ],
)
def test_bad_json_names_the_line(tmp_path: Path, row: str, said: str) -> None:
    message = refusal(write(tmp_path, "a.jsonl", f'{{"foreign": "ឆ្កែ", "english": "dog"}}\n{row}\n'))
    assert "line 2" in message
    assert said in message
