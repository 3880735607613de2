"""Burmese in Zawgyi is told from Burmese, and becomes it where that is asked for."""

from __future__ import annotations

import pytest

from llink_ray.prompts.conversation import ConversationParser
from llink_ray.settings import SlotSettings
from llink_ray.text.zawgyi import NotUnicode, convert_zawgyi, is_zawgyi, to_unicode

TWINS = [
    ("ကၽြန္ေတာ္ မေန႔က ေစ်းကို သြားၿပီး ငါး ၃ ေကာင္ ဝယ္ခဲ့တယ္။", "ကျွန်တော် မနေ့က ဈေးကို သွားပြီး ငါး ၃ ကောင် ဝယ်ခဲ့တယ်။"),
    ("ျမန္မာႏိုင္ငံမွာ ေနတယ္။", "မြန်မာနိုင်ငံမှာ နေတယ်။"),
    ("မဂၤလာပါ ဆရာမ၊ ေနေကာင္းလား။", "မင်္ဂလာပါ ဆရာမ၊ နေကောင်းလား။"),
]
SLOTS = SlotSettings(max_sentences=3)


@pytest.mark.parametrize(("zawgyi", "burmese"), TWINS)
def test_one_is_told_from_the_other_and_converted(zawgyi: str, burmese: str) -> None:
    assert is_zawgyi(zawgyi) and not is_zawgyi(burmese)
    assert to_unicode(zawgyi) == burmese == convert_zawgyi(zawgyi) == convert_zawgyi(burmese)
    assert convert_zawgyi(f"Who? {zawgyi}\n{burmese}\n") == f"Who? {burmese}\n{burmese}\n"


@pytest.mark.parametrize("text", ["", "Who?", "ဒါက ဘာလဲ။", "မႂ်ႇသုင်ၶႃႈ ၵဝ်ၶႃႈ", "အရေဝ်ဘာသာမန် ဂှ်", "བོད་ཡིག"])
def test_other_text_is_left_alone(text: str) -> None:
    """Among it what is the same in both, and other languages of the script."""
    assert not is_zawgyi(text) and convert_zawgyi(text) == text


def test_a_message_in_it_is_refused_in_a_sentence() -> None:
    zawgyi, burmese = TWINS[0]
    for taught in ({"my": SLOTS}, {"bo": SLOTS}):
        with pytest.raises(NotUnicode, match="is Burmese in Zawgyi, a font's own encoding") as caught:
            ConversationParser(taught).parse([("system", "Be brief."), ("user", f"How many?\n{zawgyi}")])
        assert caught.value.index == 1
    assert ConversationParser({"bo": SLOTS}, unknown="text").parse([("user", zawgyi)]).messages == (
        ("user", zawgyi),
    )
    result = ConversationParser({"my": SLOTS}).parse([("user", convert_zawgyi(f"How many?\n{zawgyi}"))])
    assert [one.text for one in result.sentences] == [burmese] and result.spans[-1].numerals == ["3"]
