"""Events and replies as they go over the wire."""

from __future__ import annotations

import base64
import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import ApiError
from serve.formatters import finite
from serve.responses import (
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    EmbeddingMetadata,
    EmbeddingsResponse,
    Usage,
)
from serve.streaming import encode_event, error_event


@given(st.dictionaries(st.text(max_size=5), st.text(), max_size=4))
def test_an_event_is_one_line_of_whole_letters(data: dict[str, str]) -> None:
    event = encode_event(data).decode("utf-8")
    assert (
        event.startswith("data: ") and event.endswith("\n\n") and event.count("\n") == 2 and "\r" not in event
    )
    assert json.loads(event[6:]) == data


def test_half_letters_and_infinity_do_not_go_out() -> None:
    assert encode_event({"a": "\ud800"}) == b'data: {"a":"?"}\n\n'
    with pytest.raises(ValueError, match="JSON"):
        encode_event({"a": math.inf})
    assert finite(-math.inf) == -9999.0 and finite(-0.5) == -0.5


def test_a_chunk_and_a_failure() -> None:
    chunk = ChatCompletionChunk(
        id="x",
        created=1,
        model="llink",
        choices=[ChunkChoice(delta=Delta(content="བོད"), finish_reason="stop")],
    )
    told = json.loads(encode_event(chunk)[6:])
    assert told["object"] == "chat.completion.chunk" and told["choices"][0]["delta"]["content"] == "བོད"
    assert told["usage"] is None
    failed = json.loads(error_event(ApiError.internal())[6:])
    assert failed["error"]["type"] == "server_error" and Usage.build(3, 4).total_tokens == 7


def test_vectors_as_numbers_and_as_bytes() -> None:
    rows = [[0.5, -1.25], [0.0, 3.0]]
    metadata = EmbeddingMetadata(space="projected", unit_length=False)
    plain = EmbeddingsResponse.build(rows, "llink", 5, False, metadata)
    assert [vector.embedding for vector in plain.data] == rows and plain.usage.total_tokens == 5
    encoded = EmbeddingsResponse.build(rows, "llink", 5, True, metadata).data[1].embedding
    assert isinstance(encoded, str) and struct.unpack("<2f", base64.b64decode(encoded)) == (0.0, 3.0)
