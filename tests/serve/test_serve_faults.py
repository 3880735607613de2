"""The service on a real Ray while its parts are killed, changed and ended."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from serve_load import ADMINS, LoadGenerator, body, chat, serving, until
from serve_process import Started, is_loopback, listening, started
from serve_zoo import BO
from serve_zoo import talkers as talking

from llink_ray.bundles.registry import Registry

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
_MARK, _KEY = "zebra-7319", "a-key-that-nobody-may-read"
_TWO = [
    f"deployments.{name}.{least}_replicas=2"
    for name in ("ingress", "encoder_server", "decoder_server")
    for least in ("max", "min")
]
_SMALL = [f"deployments.{name}.num_cpus=0.1" for name in ("ingress", "encoder_server", "decoder_server")]
_LONG: dict[str, Any] = {"max_tokens": 500, "temperature": 0}
"""A request that keeps a decoder busy for a second and more: the talkers do not end by themselves."""
_BACK = 90.0
"""Seconds in which a replica has to be there again; loading the models on busy cores takes most of it."""


@pytest.fixture(scope="module")
def talkers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two bundles for Tibetan that differ and talk on and on."""
    one, other = talking(tmp_path_factory.mktemp("talkers"), "bo", "Who?", BO, _LONG["max_tokens"], count=2)
    return one, other


@pytest.fixture(scope="module")
def registry_path(talkers: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faults") / "registry"
    Registry(root).publish(talkers[0])
    return root


@pytest.fixture(scope="module")
def service(registry_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Two replicas of each deployment."""
    with started(registry_path, tmp_path_factory.mktemp("service"), *_TWO, *_SMALL) as running_service:
        for name in ("ingress", "encoder_server", "decoder_server"):
            back(running_service, name)
        yield running_service


def back(service: Started, name: str, killed: int | None = None) -> float:
    """How long it takes until two replicas are there, besides one that was killed."""

    def two() -> bool:
        return len(service.ready(name) - {killed}) == 2

    return until(two, f"two of {name}", _BACK)


def one_stream(url: str, started_streams: list[str]) -> str:
    """The last line of a long stream; ``started_streams`` is told when its text comes."""
    request_body, last = body(stream=True, **_LONG), ""
    with httpx2.stream("POST", f"{url}/v1/chat/completions", json=request_body, timeout=90) as response:
        assert response.status_code == 200
        for number, line in enumerate(filter(None, response.iter_lines())):
            last = line.removeprefix("data: ")
            if number == 2:
                started_streams.append(last)
    return last


def test_nothing_listens_beyond_this_machine(service: Started) -> None:
    addresses = {(one.name(), address) for one in service.processes() for address in listening(one)}
    assert len(addresses) > 5
    assert [one for one in addresses if not is_loopback(one[1])] == []


@pytest.mark.parametrize("name", ["decoder_server", "encoder_server"])
def test_a_killed_replica_fails_no_whole_answer_and_comes_back(service: Started, name: str) -> None:
    with LoadGenerator(service.url, clients=8, streams=2, more={"max_tokens": 40}).running() as load:
        until(lambda: load.outcomes["200"] >= 16, "answers", 60)
        took = back(service, name, service.kill(name))
        count = load.outcomes["200"]
        until(lambda: load.outcomes["200"] >= count + 16, "answers of the new one too", 60)
    print(
        f"{name}: {load.outcomes} {load.endings} two again after {took:.1f} s, slowest {load.slowest:.1f} s"
    )
    assert set(load.outcomes) == {"200"}
    assert load.endings["[DONE]"] > 0
    for ending in load.endings.keys() - {"[DONE]"}:
        assert json.loads(ending)["error"]["type"] == "server_error"
    assert load.slowest < 30  # nobody is kept waiting by a dead one
    assert len(load.answers) == 1  # greedy: whoever answered, and however often it was asked


def test_streams_of_a_killed_decoder_end_with_an_error_event(service: Started) -> None:
    started_streams: list[str] = []
    killed = min(service.ready("decoder_server"))  # looking for it takes as long as a stream does
    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(one_stream, service.url, started_streams) for _ in range(8)]
        until(lambda: len(started_streams) == 8, "eight streams")
        os.kill(killed, signal.SIGKILL)
        endings = [stream.result() for stream in streams]
    broken = [json.loads(ending)["error"] for ending in endings if ending != "[DONE]"]
    print(f"{len(broken)} of {len(endings)} streams told of it")
    assert 0 < len(broken) < len(endings)  # the other decoder's go on
    assert {(error["type"], error["code"]) for error in broken} == {("server_error", "overloaded")}
    back(service, "decoder_server", killed)


def test_a_killed_ingress_is_not_seen_through_a_client_that_tries_again(service: Started) -> None:
    failed: list[str] = []
    answered: list[str] = []

    def ask(end: list[bool]) -> None:
        with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none") as client:
            while not end:
                try:
                    response = client.chat.completions.create(**body(max_tokens=40))
                    answered.append(str(response.choices[0].message.content))
                except openai.OpenAIError as error:
                    failed.append(repr(error))

    end: list[bool] = []
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(ask, end)
        try:
            until(lambda: len(answered) >= 16, "answers", 60)
            took = back(service, "ingress", service.kill("ingress"))
        finally:
            end.append(True)
    print(f"ingress: {len(answered)} answers, {failed} failed, two again after {took:.1f} s")
    assert failed == [] and len(set(answered)) == 1


def test_who_hangs_up_is_noticed_by_the_decoder(service: Started) -> None:
    def figures(name: str) -> set[str]:  # of either decoder, whichever is asked
        texts = [httpx2.get(f"{service.url}/metrics").text for _ in range(12)]
        return {
            line for text in texts for line in text.split("\n") if line.startswith(f"llink_decoder_{name} ")
        }

    request_body, before = body(**_LONG), figures("requests_cancelled")
    url = f"{service.url}/v1/chat/completions"
    for _ in range(3):
        with pytest.raises(httpx2.TimeoutException):
            httpx2.post(url, json=request_body, timeout=httpx2.Timeout(10, read=0.3))
        with httpx2.stream("POST", url, json=request_body | {"stream": True}) as response:
            next(response.iter_lines())
    until(lambda: figures("requests_running") == {"llink_decoder_requests_running 0.0"}, "empty batches", 2.0)
    assert figures("requests_cancelled") != before


def test_a_bundle_is_switched_under_load(
    service: Started, registry_path: Path, talkers: tuple[Path, Path]
) -> None:
    new = 0

    def switched_everywhere() -> bool:  # either ingress answers
        nonlocal new
        new = new + 1 if serving(service.url, "bo") == "v0002" else 0
        return new >= 12

    with LoadGenerator(service.url, clients=4, streams=1, more={"max_tokens": 40}).running() as load:
        until(lambda: load.outcomes["200"] >= 8, "answers", 60)
        Registry(registry_path).publish(talkers[1])
        until(switched_everywhere, "the switch", 60)
        count = load.outcomes["200"]
        until(lambda: load.outcomes["200"] >= count + 8, "answers", 60)
    assert set(load.outcomes) == {"200"} and set(load.endings) == {"[DONE]"}
    assert {version for version, _ in load.answers} == {"v0001", "v0002"} and len(load.answers) == 2


def test_no_log_of_ray_shows_a_prompt_or_a_key(service: Started) -> None:
    headers = {"authorization": f"Bearer {_KEY}"}
    for more in ({}, {"stream": True}, {"model": "nobody"}, {"max_tokens": 99_999}):
        request_body = body(f"Who is {_MARK}?", **more)
        httpx2.post(f"{service.url}/v1/chat/completions", json=request_body, headers=headers, timeout=60)
    httpx2.post(f"{service.url}/v1/embeddings", json={"model": "llink", "input": _MARK}, headers=headers)
    assert httpx2.get(f"{service.url}/admin/bundles", headers=ADMINS).status_code == 200
    until(lambda: "/v1/embeddings" in service.logs(), "the request's line")
    response = service.logs()
    for secret in (_MARK, _KEY, ADMINS["authorization"].split()[1]):
        assert secret not in response, response[response.index(secret) - 300 :][:600]


def test_ctrl_c_ends_it_within_seconds(service: Started) -> None:
    chat(service.url)
    code, took, left = service.end(signal.SIGINT)
    print(f"Ctrl-C: {took:.1f} s")
    assert code == 130 and took < 30 and left == []
    assert "Traceback" not in service.errors.read_text()


def test_sigterm_ends_it_too_and_streams_hear_of_it(registry_path: Path, tmp_path: Path) -> None:
    count, started_streams = 6, list[str]()

    def streamed(url: str) -> list[str]:
        request_body = body(**_LONG, stream=True)
        with httpx2.stream("POST", f"{url}/v1/chat/completions", json=request_body, timeout=60) as response:
            lines = []
            for line in response.iter_lines():
                lines += [line] if line else []
                if line and len(lines) == 3:
                    started_streams.append(line)
            return lines

    with (
        started(registry_path, tmp_path, *_SMALL, "grace_seconds=0.2") as running_service,
        ThreadPoolExecutor(count) as pool,
    ):
        streams = [pool.submit(streamed, running_service.url) for _ in range(count)]
        until(lambda: len(started_streams) == count, "streams that have begun", 60)
        code, took, left = running_service.end(signal.SIGTERM)
        for stream in streams:
            last = json.loads(stream.result()[-1].removeprefix("data: "))
            assert last["error"]["code"] == "stopping"
    print(f"SIGTERM: {took:.1f} s")
    assert code in (0, 143) and took < 30 and left == []
    assert "Traceback" not in running_service.errors.read_text()
