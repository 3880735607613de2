"""A decoder's chat template, and where each message of a conversation stands in what it renders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from llink_ray.errors import LlinkError

Messages = Sequence[tuple[str, str]]
"""(role, content) messages in order."""
_Pattern = tuple[tuple[str, str | None], ...]
"""Roles of messages; with the content where it is blank, since templates leave such messages out."""
_FIRST_MARKER = 0xF0000
"""Start of a private-use plane. One letter of it marks each message, and trimming leaves it alone."""
_UNKNOWN_ROLE = "unheardof"
"""A role that no template knows."""
_REASONING_END = re.compile(r"(</[\w:-]+>|\[/\w+\])\Z")
"""End of the reasoning that a decoder wrote before its answer; templates leave it out of earlier turns."""
_FIXED_DATE = datetime(2024, 7, 26)
_FIXED_CLOCK = (
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(f" | replace('%{code}', '{_FIXED_DATE.strftime(f'%{code}')}')" for code in "aAbBdmyYHIMSpj")
    + " }}{%- endmacro %}\n"
)
"""Shadows the clock that templates can read: the prompt of a bundle must not change with the date."""


@dataclass(frozen=True)
class SplitChat:
    """A rendered conversation: ``template[0]``, a message, ``template[1]``, a message, … ``template[-1]``."""

    template: tuple[str, ...]
    """What the template itself writes."""
    order: tuple[int, ...]
    """Index of the message at each place; blank messages are part of the template's text."""
    contents: tuple[str, ...]
    """What the template writes of each message of ``order``."""

    def joined(self, contents: Sequence[str]) -> str:
        """The whole, with other contents."""
        pairs = zip(contents, self.template[1:], strict=True)
        return self.template[0] + "".join(content + after for content, after in pairs)


class ChatFormat:
    """The chat template of a tokenizer, or a plain format where it has none.

    A template is a program: it may move, join or leave out messages. So each message is located by a marker,
    and the split is checked against the template's own rendering of the real contents.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._split_markers = lru_cache(maxsize=256)(self._locate_messages)
        self._roles = lru_cache(maxsize=256)(self._known_roles)

    def render(self, messages: Messages, answer: str | None = None) -> str:
        """The conversation as text; without ``answer``, up to where the decoder's answer begins.

        Raises:
            LlinkError: the template does not take these roles in this order.
        """
        if answer is not None:
            messages = [*messages, ("assistant", answer)]
        return self._render(messages, prompted=answer is None, as_parts=self._reads_parts)

    @cached_property
    def _reads_parts(self) -> bool:
        """Whether the template reads contents as lists of typed parts alone, as those of vision models do."""
        marker = chr(_FIRST_MARKER)

        def keeps_text(as_parts: bool) -> bool:
            with suppress(LlinkError):
                return marker in self._render([("user", marker)], True, as_parts)
            return False

        return not keeps_text(False) and keeps_text(True)

    def _render(self, messages: Messages, prompted: bool, as_parts: bool) -> str:
        template = getattr(self.tokenizer, "chat_template", None)
        if not template:
            return self._plain(messages, prompted)
        chat = [
            {"role": role, "content": [{"type": "text", "text": content}] if as_parts else content}
            for role, content in messages
        ]
        reads_clock = isinstance(template, str) and "strftime_now" in template
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                chat,
                chat_template=_FIXED_CLOCK + template if reads_clock else None,
                tokenize=False,
                add_generation_prompt=prompted,
                date_string=f"{_FIXED_DATE:%d %b %Y}",
            )
        except Exception as error:  # a template is foreign code: whatever it raises is its refusal
            roles = ", ".join(role for role, _ in messages)
            raise LlinkError(
                f"this decoder's chat format does not take messages of {roles} in this order ({error}): send "
                "them in another order, or as one message"
            ) from error
        return rendered

    def _plain(self, messages: Messages, prompted: bool) -> str:
        bos, eos = self.tokenizer.bos_token or "", self.tokenizer.eos_token or ""
        turns = [
            f"Answer: {content}{eos}\n\n" if role == "assistant" else f"{content}\n\n"
            for role, content in messages
        ]
        end = "Answer: " if prompted else ""
        return f"{bos}{''.join(turns)}{end}"

    def split(self, messages: Messages) -> SplitChat:
        """Where each message stands, up to where the decoder's answer begins.

        Role ``developer`` becomes ``system`` where the template does not know it.

        Raises:
            LlinkError: the template refuses these messages, leaves one out, repeats it or rewrites it.
        """
        pattern = tuple((role, None if content.strip() else content) for role, content in messages)
        roles = self._roles(pattern)
        messages = [(role, content) for role, (_, content) in zip(roles, messages, strict=True)]
        chat = self._split_markers(
            tuple((role, blank) for role, (_, blank) in zip(roles, pattern, strict=True))
        )
        contents = [messages[i][1] for i in chat.order]
        rendered = self.render(messages)
        if chat.joined(contents) != rendered:
            contents = [self._rewritten(messages, chat, place) for place in range(len(contents))]
            if chat.joined(contents) != rendered:
                raise LlinkError(
                    "this decoder's chat format writes these messages otherwise than others in the same "
                    "order: send them as one message"
                )
        return SplitChat(chat.template, chat.order, tuple(contents))

    def _known_roles(self, pattern: _Pattern) -> tuple[str, ...]:
        """Roles as the template is given them."""
        roles = tuple(role for role, _ in pattern)
        if "developer" not in roles:
            return roles

        def template_text(replacement: str) -> str | None:
            renamed = tuple((replacement if role == "developer" else role, blank) for role, blank in pattern)
            try:
                return "".join(self._split_markers(renamed).template).lower()
            except LlinkError:
                return None

        known, unknown = template_text("developer"), template_text(_UNKNOWN_ROLE)
        # A template that only copies the role's name writes the same for a role that cannot exist.
        if known is None or unknown == known.replace("developer", _UNKNOWN_ROLE):
            return tuple("system" if role == "developer" else role for role in roles)
        return roles

    def _locate_messages(self, pattern: _Pattern) -> SplitChat:
        """The template's text around messages of these roles, whose contents are markers."""
        marked = _with_markers(pattern)
        rendered = self.render(marked)
        places: list[tuple[int, int]] = []
        for number, (role, blank) in enumerate(pattern):
            if blank is not None:
                continue
            count = rendered.count(marked[number][1])
            if count != 1:
                raise LlinkError(
                    f"this decoder's chat format {'repeats' if count else 'leaves out'} message {number + 1} "
                    f"of {len(pattern)}, of role {role}: say it in a message of the user's, or send them in "
                    "another order"
                )
            places.append((rendered.index(marked[number][1]), number))
        places.sort()
        template, end = [], 0
        for start, _ in places:
            template.append(rendered[end:start])
            end = start + 1
        order = tuple(number for _, number in places)
        return SplitChat((*template, rendered[end:]), order, tuple(marked[i][1] for i in order))

    def _rewritten(self, messages: Messages, chat: SplitChat, place: int) -> str:
        """What the template makes of one message's content, all others being markers."""
        number = chat.order[place]
        role, content = messages[number]
        others = _with_markers([(r, None if i in chat.order else c) for i, (r, c) in enumerate(messages)])
        others[number] = role, content
        rendered = self.render(others)
        pairs = list(zip(chat.contents, chat.template[1:], strict=True))
        before = chat.template[0] + "".join(marker + after for marker, after in pairs[:place])
        after = pairs[place][1] + "".join(marker + after for marker, after in pairs[place + 1 :])
        written = rendered[len(before) : len(rendered) - len(after)]
        if f"{before}{written}{after}" != rendered or not _keeps_words(written, content, role):
            raise LlinkError(
                f"this decoder's chat format rewrites the text of message {number + 1} of {len(messages)}, "
                f"of role {role}: write it without what the format reads as a sign of its own"
            )
        return written


def _with_markers(pattern: Sequence[tuple[str, str | None]]) -> list[tuple[str, str]]:
    """Messages with a marker for each content that is None."""
    return [
        (role, chr(_FIRST_MARKER + number) if content is None else content)
        for number, (role, content) in enumerate(pattern)
    ]


def _keeps_words(written: str, content: str, role: str) -> bool:
    """Whether only white space changed, or an earlier answer lost its reasoning."""
    words, given = "".join(written.split()), "".join(content.split())
    if words == given:
        return True
    return (
        role == "assistant"
        and given.endswith(words)
        and bool(_REASONING_END.search(given.removesuffix(words)))
    )
