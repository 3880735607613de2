"""Request bodies in the shape of OpenAI's API; ``llink`` holds this service's own options."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Tag, field_validator

from llink_ray.text.normalisation import visible
from serve.field_types import (
    FAIL_FAST,
    NO_SCHEMA,
    NO_TOOLS,
    TEXT_OR_LIST,
    InputTexts,
    OnlyOne,
    OnlyZero,
    RequestModel,
    Text,
    TextOrTexts,
    Unsupported,
    UnsupportedSchema,
    UnsupportedTools,
    unsupported,
    validation_error,
)

_TIBETAN = "ཁང་པའི་ནང་དུ་ཞོག་ཁོག་༥༦༠ ཡོད་པ་རེད།"
Model = Annotated[str, Field(min_length=1, max_length=256)]
"""``llink`` detects the languages, ``llink:bo`` reads all foreign text as Tibetan; or the base model."""


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class TextPart(RequestModel):
    """A text part of a message."""

    type: Literal["text"]
    text: str


Parts = Annotated[list[TextPart], FAIL_FAST, Tag("(list)")]


def _no_tool(role: Any) -> Any:
    if role in ("tool", "function"):
        raise validation_error(NO_TOOLS)
    return role


class Message(RequestModel):
    """One turn of a conversation."""

    role: Annotated[Literal["system", "developer", "user", "assistant"], BeforeValidator(_no_tool)]
    tool_calls: UnsupportedTools = None
    function_call: UnsupportedTools = None
    content: Annotated[Text | Parts, TEXT_OR_LIST]
    """Text, or parts of text, which are joined."""

    @property
    def text(self) -> str:
        """All of its text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(RequestModel):
    """Options of a stream."""

    include_usage: bool | None = None
    """Send one more event before the end, with the usage of all choices."""


class LlinkOptions(RequestModel):
    """Options that OpenAI's API lacks."""

    model_config = ConfigDict(extra="forbid")

    grounding: bool = False
    """Also measure how much likelier the answer is with its slots than without."""
    default_instruction: Annotated[str, Field(max_length=1_000)] | None = None
    """Instruction before a message of foreign text alone, instead of the service's own; ``""`` for none."""
    convert_zawgyi: bool = False
    """Convert Burmese in Zawgyi, a font's own encoding, to Unicode instead of refusing it; positions of spans
    are then those of the converted text."""


class SamplingRequest(RequestModel):
    """Sampling options of chats and completions."""

    model: Model
    stream: bool | None = False
    """Send the answer as server-sent events while it is generated."""
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    """0, the default, always takes the likeliest token: the same question has the same answer."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = 1.0
    """Sample from the likeliest tokens that together have this probability."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Upper bound of the answer's tokens."""
    stop: TextOrTexts | None = None
    """The answer ends before the first of these."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    """Same seed, same answer."""
    user: Any = None
    """Ignored."""
    n: OnlyOne = None
    best_of: OnlyOne = None
    presence_penalty: OnlyZero = None
    frequency_penalty: OnlyZero = None
    repetition_penalty: Annotated[Any, unsupported(1, 1.0)] = None
    length_penalty: Annotated[Any, unsupported(1, 1.0)] = None
    min_p: OnlyZero = None
    min_tokens: OnlyZero = None
    ignore_eos: Annotated[Any, unsupported(False)] = None
    use_beam_search: Annotated[Any, unsupported(False)] = None
    logit_bias: Unsupported = None
    extra_body: Annotated[
        Any,
        unsupported({}, why="is an argument of OpenAI's Python client: send its fields beside the others"),
    ] = None
    guided_json: UnsupportedSchema = None
    guided_regex: UnsupportedSchema = None
    guided_choice: UnsupportedSchema = None
    guided_grammar: UnsupportedSchema = None
    structured_outputs: UnsupportedSchema = None
    json_schema: UnsupportedSchema = None
    grammar: UnsupportedSchema = None

    @field_validator("stop")
    @classmethod
    def _not_empty(cls, stop: str | list[str] | None) -> str | list[str] | None:
        strings = [stop] if isinstance(stop, str) else stop or []
        if not all(map(visible, strings)):  # answers never hold invisible characters
            raise validation_error("is empty: leave it out")
        return stop

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def token_limit(self) -> int | None:
        """``max_tokens`` by any of its names; None where it was not given."""
        return self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with an event of its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(SamplingRequest):
    """``POST /v1/chat/completions``."""

    model_config = _example(
        model="llink",
        messages=[{"role": "user", "content": f"How many?\n{_TIBETAN}"}],
        max_tokens=64,
        llink={"grounding": True},
    )

    messages: Annotated[list[Message], FAIL_FAST, Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    """Newer name of ``max_tokens``, over which it takes precedence."""
    logprobs: bool | None = False
    """Return each token's log-probability."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """And of so many of its likeliest alternatives; needs ``logprobs``."""
    llink: LlinkOptions | None = None
    response_format: Annotated[Any, unsupported({"type": "text"}, why=NO_SCHEMA)] = None
    modalities: Annotated[
        Any, unsupported(["text"], why="is not supported here: answers are text, so leave it out")
    ] = None
    tools: UnsupportedTools = None
    tool_choice: Annotated[Any, unsupported("none", "auto", why=NO_TOOLS)] = None
    functions: UnsupportedTools = None
    function_call: Annotated[Any, unsupported("none", "auto", why=NO_TOOLS)] = None
    audio: Unsupported = None
    prediction: Unsupported = None
    web_search_options: Annotated[Any, unsupported()] = None
    store: Annotated[
        Any, unsupported(False, why="is not supported here: nothing is stored, so leave it out")
    ] = None

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def turns(self) -> list[tuple[str, str]]:
        """(role, text) of each message."""
        return [(message.role, message.text) for message in self.messages]

    @property
    def logprob_count(self) -> int | None:
        """Number of alternatives to return for each token; None for no log-probabilities at all."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(SamplingRequest):
    """``POST /v1/completions``: one or several prompts, each of which gets a choice of its own."""

    model_config = _example(
        model="llink:bo", prompt=f"Translate this into English.\n{_TIBETAN}", max_tokens=64
    )

    prompt: InputTexts
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    """Return each token's log-probability and so many alternatives."""
    llink: LlinkOptions | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    """Upper bound of the answer's tokens; 0 with ``echo`` only."""
    echo: bool | None = None
    """Read the prompt as it stands, without the chat format, and return it before its continuation; with
    ``logprobs``, also its tokens' log-probabilities."""
    suffix: Annotated[Any, unsupported("")] = None

    @property
    def texts(self) -> list[str]:
        """The prompts."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TextBatchRequest(RequestModel):
    """One text or several."""

    input: InputTexts

    @property
    def texts(self) -> list[str]:
        """As a list."""
        return [self.input] if isinstance(self.input, str) else self.input


class EmbeddingOptions(RequestModel):
    """Options of embeddings."""

    model_config = ConfigDict(extra="forbid")

    space: Literal["projected", "encoder"] = "projected"
    """``projected``: in the decoder's space, comparable with its English; ``encoder``: the encoder's own."""
    normalize: bool = True
    """Scale every vector to length 1, so that dot products are cosines."""
    convert_zawgyi: bool = False
    """As in chats."""


class EmbeddingsRequest(TextBatchRequest):
    """``POST /v1/embeddings``: vectors that compare across languages."""

    model_config = _example(model="llink", input=[_TIBETAN, "There are 560 potatoes in the house."])

    model: Model
    encoding_format: Literal["float", "base64"] | None = "float"
    """``base64``: little-endian float32 bytes."""
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """The vectors' own size, or null: they cannot be shortened."""
    user: Any = None
    llink: EmbeddingOptions | None = None

    @property
    def options(self) -> EmbeddingOptions:
        """``llink`` or its defaults."""
        return self.llink or EmbeddingOptions()


class DetectRequest(TextBatchRequest):
    """``POST /v1/detect``: the language of each span of a text."""

    model_config = _example(input=f"What is this? {_TIBETAN}")


class TokenizeRequest(RequestModel):
    """``POST /v1/tokenize``: prompt tokens of a text or of messages, with slots and without."""

    model_config = _example(model="llink", text=_TIBETAN)

    model: Model
    text: str | None = None
    messages: Annotated[list[Message], FAIL_FAST, Field(min_length=1)] | None = None

    @field_validator("messages")
    @classmethod
    def _one_of_two(cls, messages: list[Message] | None, info: Any) -> list[Message] | None:
        if messages is not None and info.data.get("text") is not None:
            raise validation_error("stands beside text: send one of the two")
        return messages

    @property
    def turns(self) -> list[tuple[str, str]]:
        """(role, text) of each message; a text alone is one of the user."""
        if self.messages is None:
            return [("user", self.text or "")]
        return [(message.role, message.text) for message in self.messages]
