"""What is kept, what goes and for which stated reason."""

from __future__ import annotations

import time

import pytest

from llink_ray.corpus.clean import Cleaned, Dropped, clean, describe
from llink_ray.corpus.pair import Pair, Question
from llink_ray.settings import CorpusSettings
from llink_ray.text import languages

KHMER = languages.find("khmer")
DOG = Pair("ខ្ញុំមានឆ្កែមួយ", "I have a dog.", line=1)


def cleaned(pairs: list[Pair], name: str = "khmer", **settings: object) -> Cleaned:
    return clean(pairs, languages.find(name), CorpusSettings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("foreign", "english", "reason"),
    [
        ("", "I have a dog.", "empty side"),
        ("ខ្ញុំមានឆ្កែមួយ", " \u200b\n", "empty side"),
        ("…", "I have a dog.", "empty side"),
        ("ក", "I have a dog.", "too short"),
        ("ខ្ញុំមានឆ្កែ" * 100, "I have a dog." * 100, "too long"),
        ("Nokia 3310", "nokia 3310!", "source equals target"),
        ("១២៣", "Thirty-two dogs came home.", "length ratio"),
        ("ខ្ញុំមានឆ្កែមួយនៅក្នុងផ្ទះរបស់ខ្ញុំ", "Dog", "length ratio"),
        ("I have a dog.", "ខ្ញុំមានឆ្កែមួយ", "sides swapped"),
        ("J'ai un chien.", "I have a dog.", "wrong script"),
        ("ཁྱི་གཅིག་ཡོད།", "I have a dog.", "wrong script"),
        ("ឆ្កែ Microsoft Windows", "Dog Microsoft Windows", "wrong script"),
        ("ខ្ញុំមានឆ្កែមួយ", "ខ្ញុំមានឆ្មាពីរ", "English side in another script"),
    ],
)
def test_reason(foreign: str, english: str, reason: str) -> None:
    result = cleaned([Pair(foreign, english, line=5), DOG])
    assert result.dropped == {reason: Dropped(1, [5])}
    assert result.kept == [DOG]


@pytest.mark.parametrize(
    ("foreign", "english"),
    [
        ("១២៣", "123"),
        ("123", "one two three"),
        ("ឆ្កែរបស់ Windows", "Windows the dog"),  # of 15 letters 8 are Khmer, marks counted
        ("គោ", "ox"),
    ],
)
def test_kept(foreign: str, english: str) -> None:
    result = cleaned([Pair(foreign, english)])
    assert [(pair.foreign, pair.english) for pair in result.kept] == [(foreign, english)]


def test_limits_come_from_the_settings() -> None:
    assert "too short" in cleaned([DOG], min_characters=14).dropped
    assert "too long" in cleaned([DOG], max_characters=14).dropped
    assert cleaned([DOG], min_characters=13, max_characters=15).kept
    mixed = Pair("ឆ្កែ Windows", "Windows the dog")  # 4 letters of 11 are Khmer
    assert "wrong script" in cleaned([mixed], min_script_share=0.4).dropped
    assert cleaned([mixed], min_script_share=0.3).kept
    french = Pair("J'ai un chien.", "I have a dog.")
    assert cleaned([french], min_script_share=0.0, detect_language=False).kept
    long = Pair("ខ្ញុំមានឆ្កែមួយនៅក្នុងផ្ទះ", "My dog")
    assert "length ratio" in cleaned([long], max_length_ratio=3.0).dropped
    assert cleaned([long], max_length_ratio=6.0).kept


def test_what_is_kept_is_tidy() -> None:
    asked = Question("who", "Who  came?", " the\u200b dog ")
    result = cleaned([Pair(" ខ្ញុំ\u200bមាន\tឆ្កែ\u0007មួយ", "I\u00a0have a dog.\ufeff", (asked,), 3)])
    tidied = Question("who", "Who came?", "the dog")
    assert result.kept == [Pair("ខ្ញុំមាន ឆ្កែមួយ", "I have a dog.", (tidied,), 3)]


def test_duplicates_differ_in_case_and_marks_at_most() -> None:
    again = Pair("ខ្ញុំមាន ឆ្កែមួយ។", "I have a DOG", line=2)
    other_english = Pair(DOG.foreign, "I own a dog.", line=3)
    other_foreign = Pair("ឆ្កែមួយជារបស់ខ្ញុំ", DOG.english, line=4)
    result = cleaned([DOG, again, other_english, other_foreign])
    assert result.kept == [DOG, other_english, other_foreign]
    assert result.dropped == {"duplicate": Dropped(1, [2])}


def test_questions_of_a_duplicate_are_not_lost() -> None:
    who, what = Question("who", "Who?", "I"), Question("what", "What?", "a dog")
    rows = [Pair(DOG.foreign, DOG.english, asked, n) for n, asked in enumerate([(who,), (who, what), ()], 1)]
    result = cleaned(rows)
    assert result.kept == [Pair(DOG.foreign, DOG.english, (who, what), 1)]
    assert result.dropped["duplicate"].count == 2


def test_first_three_lines_of_each_reason() -> None:
    rows = [Pair("", "x", line=n) for n in range(1, 6)] + [Pair("ក", "dog", line=9), DOG]
    result = cleaned(rows)
    assert result.dropped == {"empty side": Dropped(5, [1, 2, 3]), "too short": Dropped(1, [9])}
    assert describe(result.dropped) == "empty side 5 (lines 1, 2, 3 …), too short 1 (line 9)"


def test_pairs_from_no_file_have_no_lines() -> None:
    result = cleaned([Pair("", "x"), Pair("", "y")])
    assert result.dropped == {"empty side": Dropped(2, [])}
    assert describe(result.dropped) == "empty side 2"


# Dzongkha and Tibetan share a script; the sentence is said here of a school, in Dzongkha.
DZONGKHA = Pair(
    "ང་ཚ་ཆ་མཉམ་ ད་རིས་ སློབ་གྲྭ་ནང་ འགྱོ་ནི་ཨིན་མས། དེ་ལས་ ཨ་ལོ་ཚུ་གིས་ ཡི་གུ་ལྷབ་ཨིན། ཁོང་གིས་ དཔེ་ཆ་ལྷག་ནི་ལུ་དགའ་བ་ཡོད། "
    "ང་བཅས་ཀྱིས་ ཁྱིམ་ནང་ལུ་ ལཱ་འབད་ནི་ཨིན་མས།",
    "All of us go to school today, the children learn to write, and they like to read books. "
    "We do our work at home.",
    line=1,
)


def test_another_language_of_the_same_script() -> None:
    assert cleaned([DZONGKHA], "tibetan").dropped == {"wrong language": Dropped(1, [1])}
    assert len(cleaned([DZONGKHA], "dzongkha").kept) == 1
    assert len(cleaned([DZONGKHA], "tibetan", detect_language=False).kept) == 1


BURMESE = "ကျွန်တော် မနေ့က ဈေးကို သွားပြီး ငါး ၃ ကောင် ဝယ်ခဲ့တယ်။"
ZAWGYI = "ကၽြန္ေတာ္ မေန႔က ေစ်းကို သြားၿပီး ငါး ၃ ေကာင္ ဝယ္ခဲ့တယ္။"


def test_burmese_in_zawgyi_is_dropped_or_converted() -> None:
    rows = [Pair(text, "Yesterday I went to the market and bought 3 fish.") for text in (ZAWGYI, BURMESE)]
    result = cleaned(rows, "burmese", detect_language=False)
    assert result.kept == rows[1:] and result.dropped == {"Zawgyi, not Unicode": Dropped(1)}
    assert cleaned(rows[:1], "burmese", zawgyi="convert").kept == rows[1:]


@pytest.mark.parametrize("language", ["mnw", "shan"])
def test_burmese_in_zawgyi_is_no_language_of_its_neighbours(language: str) -> None:
    rows = [Pair(text, "three fish") for text in ("ေစ်းကို သြားၿပီး", "ဍုင်ဗၟာ ဂှ် မၞုံ", "လိၵ်ႈတႆး ယူႇၼႂ်း")]
    for asked in ({}, {"zawgyi": "convert"}, {"detect_language": False}):
        assert cleaned(rows, language, **asked).dropped == {"Zawgyi, not Unicode": Dropped(1)}


def test_doubtful_language_is_kept() -> None:
    short = Pair("སློབ་གྲྭ།", "school")
    assert cleaned([short], "tibetan").kept == cleaned([short], "dzongkha").kept == [short]


def test_language_in_several_scripts() -> None:
    assert cleaned([Pair("東京へ行きます。", "I go to Tokyo.")], "japanese").kept
    assert cleaned([Pair("トウキョウ", "Tokyo")], "japanese").kept


def test_cleaning_again_changes_nothing() -> None:
    rows = [DOG, Pair("ឆ្មា ៣", "3 cats", line=2), Pair("", "x", line=3)]
    once = cleaned(rows)
    assert cleaned(once.kept) == Cleaned(once.kept, {})


def test_fast_enough_for_a_million_lines() -> None:
    rows = [Pair(f"ខ្ញុំមានឆ្កែ {n} ក្បាលនៅផ្ទះ", f"I have {n} dogs at my house.") for n in range(5_000)]
    start = time.process_time()
    assert len(cleaned(rows, detect_language=False).kept) == 5_000
    assert time.process_time() - start < 1.0


def test_sources_and_choices_are_kept_and_a_duplicate_keeps_the_firsts() -> None:
    asked = Question("topic", "Topic?", "a  dog", ("a  dog", "cat"))
    rows = [
        Pair(DOG.foreign, DOG.english, (), 1, " news "),
        Pair(DOG.foreign, DOG.english, (asked,), 2, "web"),
    ]
    (kept,) = cleaned(rows).kept
    assert kept.source == "news"
    assert kept.questions == (Question("topic", "Topic?", "a dog", ("a dog", "cat")),)
