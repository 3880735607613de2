"""Where sentences end: marks, and the many full stops and quotations that end none."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llink_ray.text.languages import DECODER_LANGUAGE, TABLE, Language, find
from llink_ray.text.segmentation import sentence_ends, sentences

EN = DECODER_LANGUAGE
CASES: dict[str, list[list[str]]] = {
    "en": [
        ["Mrs. Dolma met Prof. Smith at 7 a.m. on Monday.", "He left at 5 p.m.", "Then she slept."],
        ["See vol. 4, No. 5, the no. of pages and fig. 3.", "He said no.", "Tom agreed."],
        ["J. R. Wangchuk lives in the U.S. and wrote to me.", "I know him."],
        ["We saw goats, yaks, etc.", "He saw none."],
        ["It costs 3.50 or 1,000.75.", "4 people paid."],
        [
            "Read https://example.org/a?b=1.2 and www.example.org/c.html.",
            "Node.js is fine.",
            "Write to a.b@c.org.",
        ],
        ["Wait... what?", "He stopped...", "Then he ran."],
        [
            'He cried "Stop! Now!" and ran.',
            "(He did not stop.)",
            '"Yes," she said.',
            '"Go!" he said.',
            "She went.",
        ],
        ["1. Buy rice.", "2. Boil it."],
        ["Mrs. May saw Dr. Will.", "He left."],
        ["World War II.", "Going home"],
        ["It is 5.", "Really?!", "Yes!"],
        ["i went home.", "then i slept"],
    ],
    "bo": [
        ["ང་འགྲོ།", "ཁྱོད་སྡོད། །", "ཁོ་ཡོང་།"],
        ["ཁོ་ཡོང་ན། ང་འགྲོ།", "ང་དང་། ཁྱོད་དང་། ཁོ་གསུམ་ཡོད།"],  # clauses and lists
        ["ཁོ་འགྲོ་གི་འདུག", "ང་སྡོད་ཀྱི་ཡིན།"],  # no mark is written behind ga
        ["ཁོས་ “ང་འགྲོ། ཁྱོད་སྡོད།” ཞེས་བཤད།", "ངས་གོ།"],
        ["ངའི་གྲོགས་པོ་ Mr. Smith རེད།", "ཁོ་ཨ་རི་ནས་ཡིན།"],
    ],
    "dz": [
        ["ཁོ་སོང་ནུག", "ང་སྡོད་ཅི།"],
    ],
    "km": [
        ["គាត់មានឆ្កែ ឆ្មា ។ល។", "គាត់សប្បាយ។"],
        ["គាត់មានឆ្កែ ។ ល ។", "គាត់សប្បាយ ៕", "វា១.៥ និង 2.5 ។"],
        ["គាត់ថា “ទៅ!”។", "ខ្ញុំនៅ។"],
    ],
    "lo": [
        ["ດຣ. ບຸນມີ ມາແລ້ວ.", "ລາວຢູ່ ສ.ປ.ປ. ລາວ."],
        ["Dr. Lee ມາ.", "ລາຄາ 3.5 ກີບ."],
    ],
    "my": [
        ["သူက “သွား။ လာ။” ဟု ပြောသည်။", "ကျွန်တော်၊ သူ၊ နားထောင်သည်။"],
    ],
    "am": [
        ["ቤት አለ፡፡", "ውሻ አለ::", "ድመት የለም።"],
        ["በ1990 ዓ.ም. ተወለደ።", "ዋጋው 4.5 ነው?", "አዎ!"],
        ["“ና!” አለች እናቱ።", "ልጁ መጣ።"],
        ["በgo::run ላይ ነው።"],
    ],
    "ti": [
        ["ከመይ ኣለኻ፧", "ጽቡቕ፡፡"],
    ],
    "ne": [
        ["डा. सीता आइन्.", "उनी बसिन्|", "ठीक छ।"],
        ["वि. सं. २०५० मा बी. पी. आए।", "२ . ५ रुपैयाँ भयो।"],
    ],
    "mr": [
        ["ती घरी गेली.", "तिने दोन आंबे खाल्ले."],
    ],
    "hi": [
        ["वह आया|", "वह गया।"],
    ],
    "bn": [
        ["ডা. রহিম এলেন।", "বাবা বললেন, “এসো।”", "আমি গেলাম।"],
    ],
    "si": [
        ["එස්. පී. සිල්වා ආවේය.", "ඔහු 3.5ක් ගත්තේය."],
    ],
    "ka": [
        ["ქ-ნი ნ. ლომიძე წავიდა.", "ფასი 3.5 ლარია."],
        ["ჩვ. წ. აღ-ის 5 წელს მოხდა.", "ძვ. წ. აღ-ით კი არა."],
        ["ი. გ. ლომიძემ 5 კმ. გაიარა.", "„მოდი!“ თქვა მან.", "– კარგი."],
    ],
    "hy": [
        ["Պարոն Ա. Պետրոսյանը եկավ:", "Ժամը 9:30 է։", "Նա 5 կմ. գնաց (2010 թ.)։", "Լավ."],
    ],
    "ug": [
        ["ئۇ كەلدى.", "سەن قايسى؟", "مەن ئا. تۇرسۇن."],
    ],
    "ar": [
        ["وصل أ. سمير.", "أين هو؟", "في البيت!"],
    ],
    "sw": [
        ["Dkt. Asha alifika saa 4.", "Kisha aliondoka."],
    ],
    "el": [
        ["Τι λες;", "Ο κ. Νίκου ήρθε."],
    ],
    "ru": [
        ["Приехал А. С. Попов из г. Тулы.", "Он сел."],
    ],
    "zh": [
        ["你好。", "“走吧！”他说。", "3.5元。"],
    ],
    "ja": [
        ["「行く。」と言った。", "終わり。"],
    ],
    "ko": [
        ["네.", "갔어요."],
    ],
    "th": [
        ["ดร. สมชาย มา.", "เขาไป"],
    ],
}
"""Sentences by language; the text is these with a blank between them."""


@pytest.mark.parametrize("code", CASES)
def test_sentences_end_where_people_end_them(code: str) -> None:
    language = EN if code == EN.code else find(code)
    for wanted in CASES[code]:
        assert sentences(" ".join(wanted), language) == wanted


@pytest.mark.parametrize(
    ("code", "text", "wanted"),
    [
        ("bo", "ང་ཡོད། ཁྱོད་ཡོད། །ཁོ་མེད།", ["ང་ཡོད།", "ཁྱོད་ཡོད། །", "ཁོ་མེད།"]),
        ("bo", "“ང་འགྲོ།” ཁོ་སོང་།", ["“ང་འགྲོ།”", "ཁོ་སོང་།"]),
        ("bo", "“ང་འགྲོ།” ཞེས་ཁོས་བཤད།", ["“ང་འགྲོ།” ཞེས་ཁོས་བཤད།"]),
        ("th", "“ไปไหน?” แม่ถาม. ลูกเงียบ", ["“ไปไหน?” แม่ถาม.", "ลูกเงียบ"]),
        ("he", "„בוא!” היא הלכה.", ["„בוא!”", "היא הלכה."]),
        ("am", "(ዝናብ ነው።) ቤት ግባ።", ["(ዝናብ ነው።)", "ቤት ግባ።"]),
        ("ka", "ის წავიდა.“ მერე დაბრუნდა.", ["ის წავიდა.“", "მერე დაბრუნდა."]),
        ("km", "ខ្ញុំទៅ។អ្នកមក។ល។", ["ខ្ញុំទៅ។", "អ្នកមក។ល។"]),
        ("am", "ዋጋ 3.5 ነው።ሰላም፧ አዎ", ["ዋጋ 3.5 ነው።", "ሰላም፧", "አዎ"]),
        ("my", "ကမ္ဘာ၊ ကမ္ဘာ။ ကမ္ဘာ။”", ["ကမ္ဘာ၊ ကမ္ဘာ။", "ကမ္ဘာ။”"]),
        ("am", "ቤት አለ፡፡\u200eውሻ አለ", ["ቤት አለ፡፡\u200e", "ውሻ አለ"]),
        ("en", "A heading\n \nand its text", ["A heading", "and its text"]),
        ("en", "One line\nof two", ["One line\nof two"]),
        ("en", "...", ["..."]),
        ("bo", "། ང་ཡོད།", ["། ང་ཡོད།"]),
        ("bo", "།", ["།"]),
        ("bo", "", []),
        ("bo", " \n", []),
    ],
)
def test_texts_without_blanks_or_without_words(code: str, text: str, wanted: list[str]) -> None:
    assert sentences(text, EN if code == EN.code else find(code)) == wanted


def test_every_language_of_the_table_ends_sentences_at_its_marks() -> None:
    for language in TABLE:
        word = language.own_name[:1].title() + language.own_name[1:]
        for mark in (*language.sentence_marks, "?", "!"):
            if mark != "…":
                wanted = [f"{word} 12{mark}", f"{word} 34"]
                assert sentences(" ".join(wanted), language) == wanted, language.name
        assert len(sentences(f"{word} 1.5 Mr. Tom {word}", language)) == 1, language.name


LETTERS = 'aB Mr.J?!…"“”()«»\n1, ང་དང།ག ខ។លა፡ሀ།क।|'


@given(
    st.text(alphabet=LETTERS, max_size=60), st.sampled_from([EN, *map(find, ("bo", "km", "am", "ka", "ne"))])
)
def test_ends_cover_the_text_and_every_sentence_has_a_word(text: str, language: Language) -> None:
    ends = sentence_ends(text, language)
    assert ends == sorted(set(ends)) and (ends[-1:] == [len(text)] or not text)
    parts = [text[start:end] for start, end in pairwise((0, *ends))]
    assert "".join(parts) == text
    assert len(parts) < 2 or all(any(map(str.isalnum, part)) for part in parts)
    assert sentences(text, language) == [part.strip() for part in parts if part.strip()]


def test_long_texts_of_marks_take_no_long_time() -> None:
    start = time.perf_counter()
    for text in (". " * 9_000, "a. " * 5_000, "(" * 9_000, '"a. ' * 5_000, "“a.” " * 4_000, "A.B." * 5_000):
        assert sentences(text, EN)
    assert time.perf_counter() - start < 10
