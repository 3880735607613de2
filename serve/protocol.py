"""What may be asked, as OpenAI's clients write it; ``llink`` holds what is ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Tag, field_validator

from llink_ray.text.normalisation import visible
from serve.field_types import (
    EITHER,
    FIRST,
    NO_SCHEMA,
    NO_TOOLS,
    Inputs,
    Never,
    One,
    RequestModel,
    Structured,
    Text,
    TextOrTexts,
    Tools,
    Zero,
    refused,
    unsupported,
)

_TIBETAN = "ཁང་པའི་ནང་དུ་ཞོག་ཁོག་༥༦༠ ཡོད་པ་རེད།"
Model = Annotated[str, Field(min_length=1, max_length=256)]
"""``llink`` finds the languages, ``llink:bo`` reads all foreign text as Tibetan; or the base by its name."""


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class TextPart(RequestModel):
    """A part of a message; only text is read here."""

    type: Literal["text"]
    text: str


Parts = Annotated[list[TextPart], FIRST, Tag("(list)")]


def _no_tool(role: Any) -> Any:
    if role in ("tool", "function"):
        raise refused(NO_TOOLS)
    return role


class Message(RequestModel):
    """Something that was said."""

    role: Annotated[Literal["system", "developer", "user", "assistant"], BeforeValidator(_no_tool)]
    tool_calls: Tools = None
    function_call: Tools = None
    content: Annotated[Text | Parts, EITHER]
    """Text, or text in parts, which are read one after the other."""

    @property
    def text(self) -> str:
        """All of its text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(RequestModel):
    """What a stream says beside the answer."""

    include_usage: bool | None = None
    """One more event before the end, with the tokens of the whole."""


class LlinkOptions(RequestModel):
    """What OpenAI's API has no word for."""

    model_config = ConfigDict(extra="forbid")

    grounding: bool = False
    """Also say how much likelier the answer is with its slots than without."""
    default_instruction: Annotated[str, Field(max_length=1_000)] | None = None
    """Put before a message that is foreign text alone, instead of the service's own; ``""`` for none."""
    convert_zawgyi: bool = False
    """Read Burmese in Zawgyi, a font's own encoding, as what it is in Unicode, instead of refusing it; places
    of spans are then those of the converted text."""


class Sampled(RequestModel):
    """How an answer is chosen, in chats and completions alike."""

    model: Model
    stream: bool | None = False
    """Send the answer as it comes, in server-sent events."""
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    """0, which is the default, always takes the likeliest token: the same question has the same answer."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = 1.0
    """Only the likeliest tokens that together have this probability."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens of the answer at most."""
    stop: TextOrTexts | None = None
    """The answer ends before the first of these."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    """Same seed, same answer."""
    user: Any = None
    """Ignored."""
    n: One = None
    presence_penalty: Zero = None
    frequency_penalty: Zero = None
    logit_bias: Never = None
    guided_json: Structured = None
    guided_regex: Structured = None
    guided_choice: Structured = None
    guided_grammar: Structured = None
    structured_outputs: Structured = None
    json_schema: Structured = None
    grammar: Structured = None

    @field_validator("stop")
    @classmethod
    def _not_empty(cls, stop: str | list[str] | None) -> str | list[str] | None:
        listed = [stop] if isinstance(stop, str) else stop or []
        if not all(map(visible, listed)):  # no answer holds what nobody sees
            raise refused("is empty: leave it out")
        return stop

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings, however they were given."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def most_tokens(self) -> int | None:
        """Tokens of the answer at most; None where nothing was said of it."""
        return self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(Sampled):
    """``POST /v1/chat/completions``."""

    model_config = _example(
        model="llink",
        messages=[{"role": "user", "content": f"How many?\n{_TIBETAN}"}],
        max_tokens=64,
        llink={"grounding": True},
    )

    messages: Annotated[list[Message], FIRST, Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    """The newer name of ``max_tokens``, which it overrules."""
    logprobs: bool | None = False
    """Also say how likely each token was."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """And its likeliest alternatives; wants ``logprobs``."""
    llink: LlinkOptions | None = None
    response_format: Annotated[Any, unsupported({"type": "text"}, why=NO_SCHEMA)] = None
    modalities: Annotated[
        Any, unsupported(["text"], why="is not supported here: answers are text, so leave it out")
    ] = None
    tools: Tools = None
    tool_choice: Annotated[Any, unsupported("none", "auto", why=NO_TOOLS)] = None
    functions: Tools = None
    function_call: Annotated[Any, unsupported("none", "auto", why=NO_TOOLS)] = None
    audio: Never = None
    prediction: Never = None
    web_search_options: Annotated[Any, unsupported()] = None
    store: Annotated[
        Any, unsupported(False, why="is not supported here: nothing is stored, so leave it out")
    ] = None

    @property
    def most_tokens(self) -> int | None:
        """As above, by either name."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def said(self) -> list[tuple[str, str]]:
        """(role, text) in order."""
        return [(message.role, message.text) for message in self.messages]

    @property
    def alternatives(self) -> int | None:
        """How many alternatives come with each token; None for no log-probabilities at all."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Sampled):
    """``POST /v1/completions``: a message without roles, or several that are answered each by itself."""

    model_config = _example(
        model="llink:bo", prompt=f"Translate this into English.\n{_TIBETAN}", max_tokens=64
    )

    prompt: Inputs
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    """Say how likely each token was, and so many alternatives."""
    llink: LlinkOptions | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    """Tokens of the answer at most; 0 with ``echo`` alone."""
    echo: bool | None = None
    """Read the prompt as it stands, without the chat format, and give it back before what follows it; with
    ``logprobs``, how likely each of its tokens was."""
    suffix: Annotated[Any, unsupported("")] = None
    best_of: One = None

    @property
    def texts(self) -> list[str]:
        """The prompts; each has a choice of its own in the answer."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class Batch(RequestModel):
    """Texts, one or many."""

    input: Inputs

    @property
    def texts(self) -> list[str]:
        """All of them."""
        return [self.input] if isinstance(self.input, str) else self.input


class EmbeddingOptions(RequestModel):
    """Which vectors."""

    model_config = ConfigDict(extra="forbid")

    space: Literal["projected", "encoder"] = "projected"
    """``projected``: in the decoder's space, beside its own English; ``encoder``: as the encoder says it."""
    normalize: bool = True
    """Bring every vector to length 1, so that a dot product is a cosine; false leaves them as they are."""
    convert_zawgyi: bool = False
    """As in chats."""


class EmbeddingsRequest(Batch):
    """``POST /v1/embeddings``: vectors that compare across languages."""

    model_config = _example(model="llink", input=[_TIBETAN, "There are 560 potatoes in the house."])

    model: Model
    encoding_format: Literal["float", "base64"] | None = "float"
    """``base64``: the bytes of little-endian single floats."""
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """The vectors' own size, or nothing: they cannot be shortened."""
    user: Any = None
    llink: EmbeddingOptions | None = None

    @property
    def extension(self) -> EmbeddingOptions:
        """Which vectors."""
        return self.llink or EmbeddingOptions()


class DetectRequest(Batch):
    """``POST /v1/detect``: in which language each stretch of a text is."""

    model_config = _example(input=f"What is this? {_TIBETAN}")


class TokenizeRequest(RequestModel):
    """``POST /v1/tokenize``: what a message costs, as text and with slots. One of two is given."""

    model_config = _example(model="llink", text=_TIBETAN)

    model: Model
    text: str | None = None
    messages: Annotated[list[Message], FIRST, Field(min_length=1)] | None = None

    @field_validator("messages")
    @classmethod
    def _one_of_two(cls, messages: list[Message] | None, info: Any) -> list[Message] | None:
        if messages is not None and info.data.get("text") is not None:
            raise refused("stands beside text: send one of the two")
        return messages

    @property
    def said(self) -> list[tuple[str, str]]:
        """(role, text) in order; a text alone is what a user says."""
        if self.messages is None:
            return [("user", self.text or "")]
        return [(message.role, message.text) for message in self.messages]
