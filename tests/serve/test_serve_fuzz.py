"""Requests that nobody would think of: from the API's own document, and chats of any letters there are.

Few of them come with every run of the tests; ``make test-slow`` sends more than two thousand.
"""

from __future__ import annotations

import http.client
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok
from serve_zoo import BO, KM, Running

from llink_ray.corpus import phrasebook

GROWTH = 64 << 20
"""Bytes that this process, in which the API runs beside the one who asks, may grow by."""
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


def often(examples: int) -> settings:
    """So many examples, the same in every run; a failure is told as it is found."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )


def memory() -> int:
    """Of this process."""
    return int(psutil.Process().memory_info().rss)


def right(status: int, headers: Any, body: bytes) -> None:
    """What holds of every answer, whatever was asked."""
    assert status < 500 or status in (503, 504), body
    assert headers["x-request-id"]
    if status >= 400:
        reply = json.loads(body)
        assert set(reply) == {"error"} and set(reply["error"]) == {"message", "type", "param", "code"}, reply
        assert b"Traceback" not in body


# From the document ----------------------------------------------------------------------------------------


def document(api: Running, examples: int) -> int:
    """Ask every operation for what its schema allows and for what it does not; tells how many times."""
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    operations = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operations.append(result.ok())
    assert len(operations) >= 10
    chat_request = 0
    for operation in operations:
        for mode in MODES:

            @often(examples)
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                nonlocal chat_request
                chat_request += 1
                reply = case.call(timeout=60)
                headers = {name: values[0] for name, values in reply.headers.items()}
                right(reply.status_code, headers, reply.content)
                case.operation.validate_response(reply, case=case)

            with suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked for
                ask()
    return chat_request


def test_what_the_document_allows_and_forbids(api: Running) -> None:
    assert document(api, 10) >= 100


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_what_the_document_allows_and_forbids_at_length(api: Running) -> None:
    document(api, 30)
    before = memory()
    assert document(api, 120) >= 1_000
    assert memory() - before < GROWTH


# Any letters ----------------------------------------------------------------------------------------------

REAL = [BO, KM, *(pair.foreign for code in ("bo", "km", "am") for pair in phrasebook.pairs(code, 10, 3))]
letters = st.characters(exclude_categories=())
"""All of them, halves of pairs too."""
foreign = st.text(
    st.one_of(
        st.characters(min_codepoint=0x0F00, max_codepoint=0x0FFF),
        st.characters(min_codepoint=0x1780, max_codepoint=0x17FF),
        st.sampled_from("་།។៕ \n\t0123456789༠༩០៩.,"),
    ),
    max_size=60,
)
pieces = st.one_of(
    st.sampled_from(REAL),
    foreign,
    foreign,
    st.text(letters, max_size=20),
    st.sampled_from(["Who? ", "30 ", "\n"]),
)
contents = st.lists(pieces, min_size=1, max_size=5).map("".join)
roles = st.sampled_from(["user", "user", "user", "assistant", "system", "developer"])
messages = st.lists(st.fixed_dictionaries({"role": roles, "content": contents}), min_size=1, max_size=4)
chats = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["llink", "llink", "llink:bo", "llink:km", "embedded"]),
        "messages": messages,
        "max_tokens": st.integers(1, 4),
        "stream": st.booleans(),
        "temperature": st.sampled_from([0, 0, 0.7, 2]),
        "seed": st.integers(-(2**63), 2**63 - 1),
    },
    optional={
        "stop": st.lists(st.text(letters, min_size=1, max_size=3), max_size=4),
        "logprobs": st.booleans(),
        "llink": st.fixed_dictionaries({"grounding": st.booleans()}),
    },
)


def chatter(api: Running, examples: int) -> dict[int, int]:
    """Ask for answers to such chats; tells how often each status came."""
    parts = urlsplit(api.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    statuses: dict[int, int] = {}

    @often(examples)
    @given(chat_request=chats)
    def ask(chat_request: dict[str, Any]) -> None:
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(chat_request).encode(), headers)
        response = connection.getresponse()
        body = response.read()
        right(response.status, response.headers, body)
        statuses[response.status] = statuses.get(response.status, 0) + 1
        if response.status == 200 and chat_request["stream"]:
            events = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
            assert events[-1] == "[DONE]"
            assert all("error" not in json.loads(event) for event in events[:-1]), events
        elif response.status == 200:
            reply = json.loads(body)
            assert reply["usage"]["prompt_tokens"] == reply["llink"]["prompt_tokens"]
            assert 0 <= reply["usage"]["completion_tokens"] <= chat_request["max_tokens"]

    ask()
    connection.close()
    assert statuses.keys() <= {200, 400, 422} and statuses[200] > examples / 10
    return statuses


def test_chats_of_any_letters(api: Running) -> None:
    assert sum(chatter(api, 150).values()) >= 150


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_chats_of_any_letters_at_length(api: Running) -> None:
    chatter(api, 200)
    before = memory()
    assert sum(chatter(api, 1_200).values()) >= 1_200
    assert memory() - before < GROWTH
