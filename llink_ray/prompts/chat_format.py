"""A decoder's chat format, and where each message of a conversation stands in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from llink_ray.errors import LlinkError

Said = Sequence[tuple[str, str]]
"""(role, content) messages in order."""
_FIRST_MARK = 0xF0000
"""The first letter of a private plane: one marks each message, and no trimming or change of case harms it."""
_UNHEARD_OF = "unheardof"
"""A role that no format knows."""
_REASONED = re.compile(r"(</[\w:-]+>|\[/\w+\])\Z")
"""The end of what a decoder wrote before its answer; formats leave it out of earlier turns."""
_DAY = datetime(2024, 7, 26)
_CLOCK = (
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(f" | replace('%{one}', '{_DAY.strftime(f'%{one}')}')" for one in "aAbBdmyYHIMSpj")
    + " }}{%- endmacro %}\n"
)
"""Shadows the clock that formats can ask: a bundle's prompt must not age."""


@dataclass(frozen=True)
class Laid:
    """A conversation in its format: ``frame[0]``, a message, ``frame[1]``, a message, … ``frame[-1]``."""

    frame: tuple[str, ...]
    """What the format itself writes."""
    order: tuple[int, ...]
    """Which message stands at each place; blank ones are part of the frame."""
    texts: tuple[str, ...]
    """What the format writes of each message of ``order``."""

    def filled(self, texts: Sequence[str]) -> str:
        """The whole with other texts at the places."""
        pairs = zip(texts, self.frame[1:], strict=True)
        return self.frame[0] + "".join(text + after for text, after in pairs)


class ChatFormat:
    """The format of a tokenizer, or a plain one where it has none.

    A format is a program over the messages. It may move them, join them or leave them out, so each one's
    place is looked for by a mark of its own, and the format has to write the same with the texts there.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._frame = lru_cache(maxsize=256)(self._found)
        self._roles = lru_cache(maxsize=256)(self._known)

    def render(self, said: Said, answer: str | None = None) -> str:
        """The conversation as text; without ``answer``, up to where the decoder speaks.

        Raises:
            LlinkError: the format does not take these roles in this order.
        """
        template = getattr(self.tokenizer, "chat_template", None)
        if not template:
            return self._plain(said, answer)
        messages = [{"role": role, "content": content} for role, content in said]
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        clock = isinstance(template, str) and "strftime_now" in template
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                messages,
                chat_template=_CLOCK + template if clock else None,
                tokenize=False,
                add_generation_prompt=answer is None,
                date_string=f"{_DAY:%d %b %Y}",
            )
        except Exception as error:  # a format is somebody's program: whatever it raises is its refusal
            roles = ", ".join(role for role, _ in said)
            raise LlinkError(
                f"this decoder's chat format does not take messages of {roles} in this order ({error}): send "
                "them in another order, or as one message"
            ) from error
        return rendered

    def _plain(self, said: Said, answer: str | None) -> str:
        finish = self.tokenizer.eos_token or ""
        told = [
            f"Answer: {content}{finish}\n\n" if role == "assistant" else f"{content}\n\n"
            for role, content in said
        ]
        start, closing = self.tokenizer.bos_token or "", "" if answer is None else f"{answer}{finish}"
        return f"{start}{''.join(told)}Answer: {closing}"

    def lay(self, said: Said) -> Laid:
        """Where each message stands, up to where the decoder speaks.

        Role ``developer`` becomes ``system`` where the format does not know it.

        Raises:
            LlinkError: the format refuses these messages, leaves one out, repeats it or rewrites it.
        """
        key = tuple((role, None if content.strip() else content) for role, content in said)
        said = [(role, content) for role, (_, content) in zip(self._roles(key), said, strict=True)]
        laid = self._frame(tuple((role, blank) for (role, _), (_, blank) in zip(said, key, strict=True)))
        texts = [said[i][1] for i in laid.order]
        whole = self.render(said)
        if laid.filled(texts) != whole:
            texts = [self._written(said, laid, place) for place in range(len(texts))]
            if laid.filled(texts) != whole:
                raise LlinkError(
                    "this decoder's chat format writes these messages otherwise than others in the same "
                    "order: send them as one message"
                )
        return Laid(laid.frame, laid.order, tuple(texts))

    def _known(self, said: tuple[tuple[str, str | None], ...]) -> tuple[str, ...]:
        """Roles as the format is told them."""
        roles = tuple(role for role, _ in said)
        if "developer" not in roles:
            return roles
        texts = [text for _, text in said]
        system = tuple("system" if role == "developer" else role for role in roles)
        other = tuple(_UNHEARD_OF if role == "developer" else role for role in roles)

        def frame(roles: tuple[str, ...]) -> tuple[str, ...] | None:
            try:
                return self._frame(tuple(zip(roles, texts, strict=True))).frame
            except LlinkError:
                return None

        own = frame(roles)
        if own is None:
            return system
        unknown = frame(other)
        same = unknown is not None and "".join(unknown).lower() == "".join(own).lower().replace(
            "developer", _UNHEARD_OF
        )
        return system if same else roles

    def _found(self, said: tuple[tuple[str, str | None], ...]) -> Laid:
        """The frame of messages in these roles; a blank one's text is given, since formats leave it out."""
        marked = _marked(said)
        whole = self.render(marked)
        places: list[tuple[int, int]] = []
        for number, (role, blank) in enumerate(said):
            if blank is not None:
                continue
            count = whole.count(marked[number][1])
            if count != 1:
                raise LlinkError(
                    f"this decoder's chat format {'repeats' if count else 'leaves out'} message {number + 1} "
                    f"of {len(said)}, of role {role}: say it in a message of the user's, or send them in "
                    "another order"
                )
            places.append((whole.index(marked[number][1]), number))
        places.sort()
        frame, end = [], 0
        for at, _ in places:
            frame.append(whole[end:at])
            end = at + 1
        order = tuple(number for _, number in places)
        return Laid((*frame, whole[end:]), order, tuple(marked[i][1] for i in order))

    def _written(self, said: Said, laid: Laid, place: int) -> str:
        """What the format makes of one message's text, in a frame that stays as it is."""
        number = laid.order[place]
        role, content = said[number]
        others = _marked([(r, None if i in laid.order else c) for i, (r, c) in enumerate(said)])
        others[number] = role, content
        whole = self.render(others)
        pairs = list(zip(laid.texts, laid.frame[1:], strict=True))
        before = laid.frame[0] + "".join(mark + after for mark, after in pairs[:place])
        after = pairs[place][1] + "".join(mark + after for mark, after in pairs[place + 1 :])
        written = whole[len(before) : len(whole) - len(after)]
        if f"{before}{written}{after}" != whole or not _says(written, content, role):
            raise LlinkError(
                f"this decoder's chat format rewrites the text of message {number + 1} of {len(said)}, of "
                f"role {role}: write it without what the format reads as a sign of its own"
            )
        return written


def _marked(said: Sequence[tuple[str, str | None]]) -> list[tuple[str, str]]:
    """A mark for each text that is not given."""
    return [
        (role, chr(_FIRST_MARK + number) if text is None else text)
        for number, (role, text) in enumerate(said)
    ]


def _says(written: str, content: str, role: str) -> bool:
    """Whether a text is still there: blanks may change, and an earlier answer may lose its reasoning."""
    kept, whole = "".join(written.split()), "".join(content.split())
    if kept == whole:
        return True
    return role == "assistant" and whole.endswith(kept) and bool(_REASONED.search(whole.removesuffix(kept)))
