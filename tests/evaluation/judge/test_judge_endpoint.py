"""The endpoint judge against servers that behave and servers that do not."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judge_server import KEY, Reply, Respond, Server, answer_pair, completion, prefers, shown, verdict

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.evaluation.judge import AnswerPair, JudgeResult, JudgeSettings, backend, judge

Serve = Callable[[Respond], Server]


def settings(url: str, **more: Any) -> JudgeSettings:
    values: dict[str, Any] = {"key_env": "JUDGE_KEY", "timeout_s": 20, "retries": 2} | more
    return JudgeSettings(backend="endpoint", url=url, model="judge-model", **values)


def hold(pairs: list[AnswerPair], url: str, folder: Path, **more: Any) -> JudgeResult:
    chosen = settings(url, **more)
    return judge(pairs, backend(chosen), folder / "run", cache=folder / "cache", settings=chosen)


def files(folder: Path) -> str:
    """All that was left on disk."""
    return "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def transcript(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / "judgements.jsonl").read_text().splitlines()]


def test_a_judge_that_speaks_the_protocol(serve: Serve, pairs: list[AnswerPair], tmp_path: Path) -> None:
    server = serve(prefers("good"))
    judged = hold(pairs, server.url, tmp_path)
    assert [j.winner for j in judged.judgements] == ["a"] * 6 + ["b"] * 2
    assert judged.judgements[0].verdicts == ("1", "2") and judged.judgements[7].verdicts == ("2", "1")
    summary = judged.summary
    assert (summary.wins, summary.losses, summary.ties, summary.unreadable) == (6, 2, 0, 0)
    assert (summary.side_a, summary.side_b) == ("projector-side", "finetune-side")
    assert len(server.requests) == 16
    path, headers, raw = server.requests[0]
    assert path == "/v1/chat/completions" and headers["authorization"] == f"Bearer {KEY}"
    body = json.loads(raw)
    assert body["model"] == "judge-model" and body["temperature"] == 0
    assert body["response_format"] == {"type": "json_object"}
    lines = transcript(tmp_path)
    assert sorted((line["contest"], line["order"]) for line in lines) == [
        (place, order) for place in range(8) for order in ("ab", "ba")
    ]
    line = next(line for line in lines if line["contest"] == 7 and line["order"] == "ba")
    assert line["verdict"] == "1" and line["first"] == "finetune-side" and line["requests"] == 1
    assert json.loads(line["replies"][0])["reason"] == "so it is" and len(line["messages"]) == 2
    assert (line["tokens_in"], line["tokens_out"], line["cached"]) == (100, 10, False)


def test_the_first_place_preferred_in_both_orders_is_a_tie(
    serve: Serve, pairs: list[AnswerPair], tmp_path: Path
) -> None:
    judged = hold(pairs, serve(lambda body, count: verdict("1")).url, tmp_path)
    assert [j.winner for j in judged.judgements] == ["tie"] * 8
    assert judged.judgements[0].verdicts == ("1", "1")
    assert judged.summary.flipped == 8 and judged.summary.rate is None
    assert judged.summary.rate_ties_half is not None and judged.summary.rate_ties_half.rate == 0.5


def test_a_win_in_one_order_and_a_tie_in_the_other_is_a_tie(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body, count: verdict("1" if shown(body)["answer_1"] == "one" else "tie"))
    judged = hold([answer_pair("one", "two")], server.url, tmp_path)
    assert judged.judgements[0].verdicts == ("1", "tie") and judged.judgements[0].winner == "tie"
    assert judged.summary.flipped == 0


@pytest.mark.parametrize(
    "lie",
    [
        "Answer 1 is better.",
        '```json\n{"better": "1"}\n```',
        '{"better": "1"} {"better": "2"}',
        '{"better": "2", "better": "1"}',
        '{"better": 1}',
        '{"better": "both"}',
        '{"better": "1", "score": 9}',
        '["1"]',
        "[" * 100_000,
        "",
        None,
    ],
)
def test_a_reply_that_is_not_the_json_asked_for_is_asked_again_and_then_unreadable(
    serve: Serve, tmp_path: Path, lie: str | None
) -> None:
    server = serve(lambda body, count: completion(lie))
    judged = hold([answer_pair("good", "poor")], server.url, tmp_path, reasks=1, concurrency=1)
    assert judged.judgements[0].verdicts == ("unreadable", "unreadable")
    assert judged.judgements[0].winner == "tie" and judged.summary.unreadable == 1
    assert len(server.requests) == 4
    again = json.loads(server.requests[1][2])["messages"]
    assert [m["role"] for m in again] == ["system", "user", "assistant", "user"]
    assert "JSON" in again[3]["content"]
    # It is not remembered as a verdict: the next run asks anew.
    hold([answer_pair("good", "poor")], server.url, tmp_path, reasks=0)
    assert len(server.requests) == 6


def test_a_reply_that_is_put_right_counts(serve: Serve, tmp_path: Path) -> None:
    def respond(body: dict[str, Any], count: int) -> Reply:
        return prefers("good")(body, count) if len(body["messages"]) > 2 else completion("The first one!")

    judged = hold([answer_pair("good", "poor")], serve(respond).url, tmp_path)
    assert judged.judgements[0].winner == "a"
    line = transcript(tmp_path)[0]
    assert line["replies"][0] == "The first one!" and line["requests"] == 2 and line["tokens_in"] == 200


@pytest.mark.parametrize("body", [b"<html>hello</html>", b'{"hello": 1}', b"[]", b'{"choices": []}', b""])
def test_a_body_that_is_no_chat_completion_is_told_as_a_wrong_address(
    serve: Serve, tmp_path: Path, body: bytes
) -> None:
    server = serve(lambda *_: (200, {}, body))
    with pytest.raises(LlinkError, match=r"no chat completion.*url"):
        hold([answer_pair("good", "poor")], server.url, tmp_path)
    assert len(server.requests) == 1


def test_a_server_that_does_not_answer_in_time(serve: Serve, tmp_path: Path) -> None:
    def respond(body: dict[str, Any], count: int) -> Reply:
        time.sleep(1.0)
        return verdict("1")

    server = serve(respond)
    with pytest.raises(LlinkError, match=r"gave no reply within 0\.2 s, 2 times.*timeout_s"):
        hold([answer_pair("good", "poor")], server.url, tmp_path, timeout_s=0.2, retries=1)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_tried_again(serve: Serve, tmp_path: Path, status: int) -> None:
    def respond(body: dict[str, Any], count: int) -> Reply:
        return (status, {}, b"{}") if count < 3 else prefers("good")(body, count)

    judged = hold([answer_pair("good", "poor")], serve(respond).url, tmp_path, concurrency=1)
    assert judged.judgements[0].winner == "a"
    assert [line["requests"] for line in transcript(tmp_path)] == [3, 1]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "refuses the key in JUDGE_KEY"),
        (403, "refuses the key in JUDGE_KEY"),
        (404, "has no model 'judge-model'"),
        (429, "limits the rate after 3 tries"),
        (400, r"could not answer \(400\).*too long"),
    ],
)
def test_refusals_are_told_in_a_sentence_without_the_key(
    serve: Serve, pairs: list[AnswerPair], tmp_path: Path, status: int, said: str
) -> None:
    # The key stands where a cut after some letters would halve it.
    body = {"error": {"message": f"too long {'x' * 150} {KEY} {'y' * 99}"}}
    server = serve(lambda *_: (status, {}, json.dumps(body).encode()))
    with pytest.raises(LlinkError, match=said) as caught:
        hold(pairs, server.url, tmp_path)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert KEY[:10] not in str(caught.value) and KEY not in files(tmp_path)
    assert len(server.requests) == (3 if status == 429 else 1)


def test_an_address_where_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(LlinkError, match="cannot be reached, tried 1 times"):
        hold([answer_pair("good", "poor")], url, tmp_path, retries=0)


def test_a_missing_key_is_told_before_any_request(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "  ")
    server = serve(prefers("good"))
    with pytest.raises(LlinkError, match="JUDGE_KEY"):
        hold([answer_pair("good", "poor")], server.url, tmp_path)
    monkeypatch.setenv("JUDGE_KEY", "sk-0123\nX: y")
    with pytest.raises(LlinkError, match="holds no key") as caught:
        hold([answer_pair("good", "poor")], server.url, tmp_path)
    assert "0123" not in str(caught.value) and not server.requests


def test_an_endpoint_without_a_key_gets_no_authorization(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "an-organization")
    server = serve(prefers("good"))
    hold([answer_pair("good", "poor")], server.url, tmp_path, key_env=None)
    sent = json.dumps([headers for _, headers, _ in server.requests])
    assert "uthorization" not in sent and KEY not in sent and "an-organization" not in sent


def test_a_failure_on_the_way_keeps_what_was_judged(
    serve: Serve, pairs: list[AnswerPair], tmp_path: Path
) -> None:
    failing = True

    def respond(body: dict[str, Any], count: int) -> Reply:
        return (401, {}, b"{}") if failing and count > 5 else prefers("good")(body, count)

    server = serve(respond)
    with pytest.raises(
        JobFailed, match=r"stopped after 5 of 16 judgements.*cache.*refuses the key"
    ) as caught:
        hold(pairs, server.url, tmp_path, concurrency=1)
    assert caught.value.exit_code == 1 and len(transcript(tmp_path)) == 5
    failing, asked = False, len(server.requests)
    assert hold(pairs, server.url, tmp_path).summary.wins == 6
    assert len(server.requests) - asked == 11


def test_a_key_that_the_server_repeats_stays_out_of_everything(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reply = json.dumps({"reason": f"your key is {KEY}", "better": "tie"})
    server = serve(lambda body, count: completion(f"{KEY}?" if len(body["messages"]) < 3 else reply))
    hold([answer_pair("good", "poor")], server.url, tmp_path)
    assert KEY not in files(tmp_path) and "***" in files(tmp_path)
    assert caplog.records and KEY not in caplog.text
    assert KEY not in "".join(raw for _, _, raw in server.requests)


def test_as_many_requests_at_once_as_the_settings_say(
    serve: Serve, pairs: list[AnswerPair], tmp_path: Path
) -> None:
    together = threading.Barrier(3, timeout=20)  # breaks, and the judge fails, where fewer come
    lock, now, most = threading.Lock(), 0, 0

    def respond(body: dict[str, Any], count: int) -> Reply:
        nonlocal now, most
        if count == 1:  # the first goes alone
            return prefers("good")(body, count)
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        with lock:
            now -= 1
        return prefers("good")(body, count)

    judged = hold(pairs, serve(respond).url, tmp_path, concurrency=3, retries=0)
    assert judged.summary.wins == 6 and most == 3
