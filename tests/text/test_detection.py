"""The language of a text and of the spans in it."""

from __future__ import annotations

import csv
import itertools
import os
import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llink_ray.text.detection import Detection, Span, detect, spans
from llink_ray.text.languages import TABLE, find

SENTENCES = {
    "bo": "ང་རང་དེ་རིང་སློབ་གྲྭར་འགྲོ་གི་ཡིན། ཁོང་གི་གྲོགས་པོ་ཡང་ཡོང་གི་རེད།",
    "dz": "ང་ད་རིས་སློབ་གྲྭ་ནང་འགྱོ་ནི་ཨིན། ངེ་གི་ཆ་རོགས་ཚུ་ཡང་འོང་འོང་ཡོདཔ་ཨིན།",
    "km": "ថ្ងៃនេះខ្ញុំទៅផ្សារជាមួយម្តាយរបស់ខ្ញុំ។",
    "lo": "ມື້ນີ້ຂ້ອຍໄປຕະຫຼາດກັບແມ່ຂອງຂ້ອຍ.",
    "my": "ဒီနေ့ ကျွန်တော် သူငယ်ချင်းနဲ့ ကျောင်းသွားမယ်။",
    "shn": "မႂ်ႇသုင်ၶႃႈ ၵဝ်ၶႃႈ",
    "am": "ዛሬ ከጓደኛዬ ጋር ወደ ትምህርት ቤት እሄዳለሁ።",
    "ti": "ሎሚ ምስ መሓዛይ ናብ ቤት ትምህርቲ ክኸይድ እየ።",
    "ka": "დღეს მე და ჩემი მეგობარი სკოლაში მივდივართ.",
    "hy": "Այսօր ես դպրոց եմ գնում իմ ընկերոջ հետ։",
    "si": "අද මම මගේ යාළුවා එක්ක පාසලට යනවා.",
    "bn": "আজ আমি আমার বন্ধুর সাথে স্কুলে যাচ্ছি।",
    "as": "আজি মই মোৰ বন্ধুৰ সৈতে বিদ্যালয়লৈ যাম।",
    "ne": "आज म मेरो साथीसँग विद्यालय जान्छु र भोलि घरमै बस्छु।",
    "hi": "आज मैं अपने दोस्त के साथ स्कूल जा रहा हूँ।",
    "ug": "مەن بۈگۈن دوستۇم بىلەن مەكتەپكە بارىمەن.",
    "ckb": "من ئەمڕۆ لەگەڵ هاوڕێکەم دەچم بۆ قوتابخانە.",
    "fa": "من امروز با دوستم به مدرسه می‌روم و فردا در خانه می‌مانم.",
    "he": "היום אני הולך לבית הספר עם החבר שלי.",
    "ru": "Сегодня я иду в школу вместе со своим другом.",
    "kk": "Бүгін мен досыммен бірге мектепке барамын.",
    "zh": "我今天和朋友一起去学校。",
    "ja": "今日は友達と学校に行きます。",
    "ko": "오늘 나는 친구와 함께 학교에 갑니다.",
    "sw": "Leo ninakwenda shuleni pamoja na rafiki yangu, na kesho tutabaki nyumbani.",
    "en": "Today I am going to school together with my friend.",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_of(code: str) -> None:
    result = detect(SENTENCES[code])
    assert result.code == code
    assert 0.5 < result.confidence <= 1.0
    if code != "en":
        assert result.script == find(code).script


def test_scripts_of_one_language_are_settled_by_a_letter() -> None:
    assert detect("ក") == Detection("km", 1.0, "Khmr")
    assert detect("ა") == Detection("ka", 1.0, "Geor")


def test_the_shortest_text_of_a_shared_script_is_the_first_language_of_it() -> None:
    assert detect("ཀ").code == "bo"
    assert detect("ཀ").confidence < 0.6


def test_more_text_gives_more_confidence() -> None:
    text = SENTENCES["dz"]
    assert detect(text[:12]).confidence < detect(text).confidence < detect(text * 3).confidence


def test_a_language_outside_the_table_has_no_code() -> None:
    french = detect("Aujourd'hui, nous allons à l'école avec nos amis et demain nous resterons à la maison.")
    assert (french.code, french.script) == (None, "Latn")
    assert detect("𐎀𐎁𐎂") == Detection(None, 0.0, None)


NOT_TAUGHT = {
    "German (de)": ["Wer hat gestern das Brot gekauft?", "Der Bauer hat 30 Äpfel verkauft."],
    "French (fr)": ["La maison est très grande.", "Qui a acheté le pain ?"],
    "Vietnamese (vi)": ["Tôi có ba con mèo.", "Ai đã mua bánh mì hôm qua?"],
    "Spanish (es)": ["La casa es muy grande.", "¿Quién compró el pan ayer?"],
    "Indonesian (id)": ["Siapa yang membeli roti kemarin?"],
    "Turkish (tr)": ["Ekmeği dün kim aldı?"],
}


@pytest.mark.parametrize("name", NOT_TAUGHT)
def test_languages_that_the_table_lacks_have_their_names(name: str) -> None:
    for text in NOT_TAUGHT[name]:
        result = detect(text)
        assert (result.code, result.other, result.script) == (None, name, "Latn"), text
        assert [span.other for span in spans(f"{text} ང་རང་དེ་རིང་སློབ་གྲྭར་འགྲོ།")] == [name, None]


ENGLISH = """Hi|Hello!|Good morning|Who?|How many?|Translate|Be brief.|Name?|In one word|Dalai Lama
Der Spiegel|How do I get to São Paulo?|Who was Nguyễn Ái Quốc?|I want to go to Tokyo.|Dr. Müller am Main
What is a résumé?|Say "guten Tag" to me.|Bon appétit|C'est la vie|Is it hot?|print('hello')|x = 3|Los Angeles
Mr Matsui runs fast.|What does "Die Katze schläft" mean?|The cook sold 30 apples.|Restaurant menu|déjà vu"""


@pytest.mark.parametrize("text", [text for line in ENGLISH.splitlines() for text in line.split("|")])
def test_short_english_is_never_taken_for_another_language(text: str) -> None:
    assert detect(text).code == "en"


def test_most_letters_decide_and_share_confidence() -> None:
    foreign = SENTENCES["km"]
    result = detect(f"{foreign} (Phnom Penh)")
    assert result.code == "km"
    assert result.confidence < detect(foreign).confidence
    assert detect(f"Please tell me in a few words what this word means: {foreign[:4]}").code == "en"


@pytest.mark.parametrize("text", ["", " ", "\n", "12 ༡༢ ៣?", "🙂", "\0", "\ud800", "...", "\u200b"])
def test_no_letters_no_language(text: str) -> None:
    assert detect(text).code is None
    assert spans(text) == ([Span(0, len(text), None, None)] if text else [])


@pytest.mark.parametrize(
    "bad", ["\0", "\ud83d", "\x0b", "\x7f", "\ufffe", "\U0010ffff", "<b>", "&nbsp;", "\ue000"]
)
def test_what_cld2_refuses_does_no_harm(bad: str) -> None:
    for code in ("bo", "ti", "ne", "km"):
        text = f"{bad}{SENTENCES[code]}{bad} {SENTENCES[code]}{bad}"
        assert detect(text).code == code
        assert "".join(text[span.start : span.end] for span in spans(text)) == text


def cut(text: str) -> list[tuple[str, str | None]]:
    """The spans of ``text`` as (text, code)."""
    return [(text[span.start : span.end], span.code) for span in spans(text)]


@pytest.mark.parametrize("mark", ["\ufeff", "\u200e", "\u2063", "\u00ad", "\u202e", "\u061c", "\u2067"])
def test_letters_that_nobody_sees_change_no_language(mark: str) -> None:
    for code in ("bo", "dz", "km", "am", "ti", "ka", "ne"):
        text = SENTENCES[code]
        assert detect(mark.join(text)) == detect(text)
        mixed, plain = f"Who? {mark}{mark.join(text)}{mark} Thanks.", f"Who? {text} Thanks."
        assert [(span.code, span.script) for span in spans(mixed)] == [
            (span.code, span.script) for span in spans(plain)
        ]
        pieces = [mixed[span.start : span.end].replace(mark, "") for span in spans(mixed)]
        assert pieces == [plain[span.start : span.end] for span in spans(plain)]


def test_decomposed_text_is_found_in_its_own_places() -> None:
    text = unicodedata.normalize("NFD", "Où est l'école? ወደ ቤት እሄዳለሁ።")
    result = spans(text)
    assert "".join(text[span.start : span.end] for span in result) == text
    assert text[result[-1].start :] == "ወደ ቤት እሄዳለሁ።"


ZAWGYI = "ကၽြန္ေတာ္ မေန႔က ေစ်းကို သြားၿပီး ငါး ၃ ေကာင္ ဝယ္ခဲ့တယ္။"


def test_burmese_in_zawgyi_is_named_as_such() -> None:
    result = detect(ZAWGYI)
    assert (result.code, result.script) == ("my", "Qaag") and result.confidence > 0.5
    assert [(span.code, span.script) for span in spans(f"Who? {ZAWGYI} {SENTENCES['shn']}")][:2] == [
        ("en", "Latn"), ("my", "Qaag"),
    ]  # fmt: skip
    for code in ("my", "shn"):
        assert (detect(SENTENCES[code]).code, detect(SENTENCES[code]).script) == (code, "Mymr")


def test_spans_of_mixed_messages() -> None:
    bo, km, am = SENTENCES["bo"], SENTENCES["km"], SENTENCES["am"]
    assert cut(f"What does “{bo}” mean?") == [("What does ", "en"), (f"“{bo}” ", "bo"), ("mean?", "en")]
    assert cut(f"Translate: {km} Thanks, John (30 km).") == [
        ("Translate: ", "en"), (f"{km} ", "km"), ("Thanks, John (30 km).", "en"),
    ]  # fmt: skip
    assert cut(f"{am} {km}") == [(f"{am} ", "am"), (km, "km")]
    assert cut(f"{km}\n\n{bo}") == [(f"{km}\n\n", "km"), (bo, "bo")]


def test_neutral_letters_stay_inside_a_span_of_one_language() -> None:
    assert cut("ខ្ញុំមាន 30% (៣០%) — ទៅ!") == [("ខ្ញុំមាន 30% (៣០%) — ទៅ!", "km")]
    assert cut("  hello, 12. ") == [("  hello, 12. ", "en")]


def test_digits_and_brackets_at_the_border() -> None:
    assert cut("price:៣០០០រៀល(riel)") == [("price:", "en"), ("៣០០០រៀល", "km"), ("(riel)", "en")]
    assert cut("ទៅ 30 apples") == [("ទៅ 30 ", "km"), ("apples", "en")]
    assert cut("say -5ទៅ") == [("say ", "en"), ("-5ទៅ", "km")]


def test_a_short_span_takes_the_language_of_the_others_in_its_script() -> None:
    text = f"ཆ་ means what in {SENTENCES['dz']}"
    assert [code for _, code in cut(text)] == ["dz", "en", "dz"]


def test_long_spans_of_one_script_are_told_apart() -> None:
    text = f"{SENTENCES['ti']} or rather {SENTENCES['am']}"
    assert [code for _, code in cut(text)] == ["ti", "en", "am"]


def test_spans_carry_the_script() -> None:
    assert [span.script for span in spans("Who ཀ 𐎀")] == ["Latn", "Tibt", None]


PIECES = [*SENTENCES.values(), "30", " ", "(", "”", "\0", "\ud800", "x", "ཀ", "\u0301"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_spans_cover_any_text_in_order(text: str) -> None:
    result = spans(text)
    assert "".join(text[span.start : span.end] for span in result) == text
    assert all(span.start < span.end for span in result)
    assert all((a.code, a.script) != (b.code, b.script) for a, b in itertools.pairwise(result))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_string_has_an_answer(text: str) -> None:
    result = detect(text)
    assert 0.0 <= result.confidence <= 1.0
    assert result.code in {None, "en", *(language.code for language in TABLE)}


DATA = os.environ.get("LLINK_DATA")
FILES = sorted(Path(DATA, "parallel").glob("*.tsv")) if DATA else []


@pytest.mark.skipif(not FILES, reason="set LLINK_DATA to the folder with parallel/<code>.tsv")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_accuracy_on_real_passages(file: Path) -> None:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = [row["foreign"] for row in rows if row["source"].startswith("sib200")]
    sample = random.Random(0).sample(texts, min(400, len(texts)))
    right = sum(detect(text).code == find(file.stem).code for text in sample)
    assert right / len(sample) >= 0.97
