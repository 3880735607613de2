"""Bundles that come, go, and are damaged while the service answers: nobody notices but by the answers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil
import pytest
from serve_load import ADMIN, ADMINS, LoadGenerator, body, chat, resealed, said, serving, until, version_of
from serve_zoo import BO, KM, Running, teach, up
from steered_engine import held

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import INDEX
from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.bundles.registry import Registry

Lessons = dict[str, tuple[Path, LlinkPipeline]]


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlinkPipeline]:
    """Another bundle for Tibetan, which answers otherwise."""
    folder = tmp_path_factory.mktemp("second") / "bo"
    return folder, teach(folder, "bo", seed=1)


@pytest.fixture(scope="module", autouse=True)
def _admin_key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLINK_ADMIN_KEY", ADMIN)
        yield


@pytest.fixture
def registry_path(lessons: Lessons, tmp_path: Path) -> Path:
    """A registry of this test's own: Tibetan, v0001."""
    Registry(tmp_path / "registry").publish(lessons["bo"][0])
    return tmp_path / "registry"


@pytest.fixture
def live(registry_path: Path) -> Iterator[Running]:
    with up(registry_path) as running:
        yield running


def until_serving(url: str, version: str) -> None:
    """Wait for the switch to this version of the Tibetan bundle."""
    until(lambda: serving(url, "bo") == version, "the switch")


def metric(url: str, name: str, **labels: str) -> float:
    for line in httpx2.get(f"{url}/metrics").text.splitlines():
        if re.match(rf"{name}[ {{]", line) and all(
            f'{key}="{value}"' in line for key, value in labels.items()
        ):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def bundles(url: str) -> dict[str, dict[str, dict[str, str]]]:
    answer = httpx2.get(f"{url}/admin/bundles", headers=ADMINS)
    assert answer.status_code == 200
    found: dict[str, dict[str, dict[str, str]]] = answer.json()
    return found


def damage(folder: Path) -> bytes:
    """Spoil one byte; what it was before."""
    file = folder / "projector.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    return whole


def test_a_new_version_is_switched_to_without_failing_a_request(
    live: Running, registry_path: Path, lessons: Lessons, second: tuple[Path, LlinkPipeline]
) -> None:
    first, then = lessons["bo"][1].answer("Who?", BO), second[1].answer("Who?", BO)
    assert first != then
    with LoadGenerator(live.url, more={"max_tokens": 256}).running() as load:
        until(lambda: load.outcomes["200"] > 3, "first answers")
        Registry(registry_path).publish(second[0])
        until(lambda: serving(live.url, "bo") == "v0002", "the switch")
        count = load.outcomes["200"]
        until(lambda: load.outcomes["200"] > count + 6, "answers of the new one")
    assert set(load.outcomes) == {"200"} and set(load.endings) == {"[DONE]"}
    assert set(load.answers) == {("v0001", first), ("v0002", then)}  # never a mixture
    assert bundles(live.url)["answering"]["bo"]["version"] == "v0002"
    older = chat(live.url, model="llink:bo@v0001", max_tokens=256)
    assert (version_of(older), said(older)) == ("v0001", first)
    loads = metric(live.url, "llink_bundle_loads_total", outcome="loaded")
    for _ in range(3):
        chat(live.url, model="llink:bo@v0001")
    assert (
        metric(live.url, "llink_bundle_loads_total", outcome="loaded") == loads
    )  # loaded once, not each time


def test_a_request_that_has_begun_ends_with_the_version_it_began_with(
    live: Running, registry_path: Path, lessons: Lessons, second: tuple[Path, LlinkPipeline]
) -> None:
    with ThreadPoolExecutor(1) as pool, held(live.engine):
        running = pool.submit(chat, live.url, max_tokens=256)
        until(lambda: live.engine.snapshot().waiting == 1, "the request")
        for bundle in (second[0], lessons["bo"][0]) * 2:  # so often that the first is long evicted
            Registry(registry_path).publish(bundle)
            version = Registry(registry_path).resolve("bo").name
            until_serving(live.url, version)
    completion = running.result(30)
    assert (version_of(completion), said(completion)) == ("v0001", lessons["bo"][1].answer("Who?", BO))
    assert len([name for name in live.engine.adapters if name.startswith("bo@")]) == 3
    assert version_of(chat(live.url)) == "v0005"


def test_a_damaged_version_is_refused_and_told_and_works_once_it_is_repaired(
    live: Running, registry_path: Path, second: tuple[Path, LlinkPipeline]
) -> None:
    staging = Registry(registry_path.parent / "staging")
    for _ in range(2):
        staging.publish(second[0])
    whole = damage(registry_path.parent / "staging" / "bo" / "v0002")
    with LoadGenerator(live.url, clients=2).running() as load:
        (registry_path.parent / "staging" / "bo" / "v0002").rename(registry_path / "bo" / "v0002")
        until(lambda: "bo v0002" in bundles(live.url)["refused"], "the refusal")
        until(lambda: load.outcomes["200"] > 3, "answers")
        assert "projector.safetensors" in bundles(live.url)["refused"]["bo v0002"]
        assert serving(live.url, "bo") == "v0001"
        assert metric(live.url, "llink_bundle_loads_total", language="bo", outcome="refused") == 1
        pinned = httpx2.post(f"{live.url}/v1/chat/completions", json=body(model="llink:bo@v0002"))
        refusal = pinned.json()["error"]["message"]
        assert (
            pinned.status_code == 404 and "cannot be loaded" in refusal and str(registry_path) not in refusal
        )
        (registry_path / "bo" / "v0002" / "projector.safetensors").write_bytes(whole)
        assert serving(live.url, "bo") == "v0001"  # not before somebody says so
        reloaded = httpx2.post(f"{live.url}/admin/reload", headers=ADMINS, timeout=30)
        assert reloaded.status_code == 200 and reloaded.json()["refused"] == {}
        assert reloaded.json()["answering"]["bo"]["version"] == "v0002"
        assert version_of(chat(live.url)) == "v0002"
    assert set(load.outcomes) == {"200"} and set(load.endings) == {"[DONE]"}


def test_roll_back_and_removal(
    live: Running, registry_path: Path, lessons: Lessons, second: tuple[Path, LlinkPipeline]
) -> None:
    registry = Registry(registry_path)
    registry.publish(second[0])
    registry.publish(lessons["km"][0])
    until(lambda: (serving(live.url, "bo"), serving(live.url, "km")) == ("v0002", "v0001"), "both")
    assert version_of(chat(live.url, f"Who?\n{KM}"), "km") == "v0001"  # a language that was not there before
    with LoadGenerator(live.url).running() as load:
        until(lambda: load.outcomes["200"] > 3, "answers")
        registry.roll_back("bo")
        until(lambda: serving(live.url, "bo") == "v0001", "the roll back")
        registry.remove("bo", "v0002")
        registry.remove("km", "v0001")
        until(lambda: serving(live.url, "km") is None, "the removal")
    assert set(load.outcomes) == {"200"} and set(load.endings) == {"[DONE]"}
    gone = httpx2.post(f"{live.url}/v1/chat/completions", json=body(f"Who?\n{KM}"))
    assert gone.status_code == 422 and "Khmer (km)" in gone.json()["error"]["message"]
    for name in ("llink:km", "llink:bo@v0002"):
        answer = httpx2.post(f"{live.url}/v1/chat/completions", json=body(model=name))
        assert answer.status_code == 404, name


def test_a_language_that_cannot_be_read_holds_up_no_other(
    live: Running, registry_path: Path, lessons: Lessons, second: tuple[Path, LlinkPipeline]
) -> None:
    registry = Registry(registry_path)
    registry.publish(lessons["km"][0])
    until(lambda: serving(live.url, "km") == "v0001", "Khmer")
    (registry_path / "km" / "current.json").write_text("half of it", encoding="utf-8")
    (registry_path / "old").symlink_to(registry_path / "old")
    registry.publish(second[0])
    until(lambda: serving(live.url, "bo") == "v0002", "the switch")
    assert version_of(chat(live.url, f"Who?\n{KM}"), "km") == "v0001"
    reloaded = httpx2.post(f"{live.url}/admin/reload", headers=ADMINS, timeout=30)
    assert reloaded.status_code == 200 and set(reloaded.json()["answering"]) == {"bo", "km"}


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_bundle_of_other_models_is_refused_with_a_sentence(
    live: Running, registry_path: Path, second: tuple[Path, LlinkPipeline], part: str, tmp_path: Path
) -> None:
    model = getattr(read_bundle(second[0]), part).model_copy(update={"fingerprint": "f" * 64})
    Registry(registry_path).publish(resealed(second[0], tmp_path / "other", **{part: model}))
    until(lambda: bool(bundles(live.url)["refused"]), "the refusal")
    assert f"was trained on another {part} than" in bundles(live.url)["refused"]["bo v0002"]
    assert version_of(chat(live.url)) == "v0001"


def test_an_encoder_that_is_not_served_is_named(
    live: Running, registry_path: Path, second: tuple[Path, LlinkPipeline], tmp_path: Path
) -> None:
    settings = read_bundle(second[0]).settings
    settings = settings | {"encoder": settings["encoder"] | {"model": "org/another"}}
    Registry(registry_path).publish(resealed(second[0], tmp_path / "other", settings=settings, language="am"))
    until(lambda: bool(bundles(live.url)["refused"]), "the refusal")
    why = bundles(live.url)["refused"]["am v0001"]
    assert "encoder_server-org-another" in why and "start the service again" in why
    assert serving(live.url, "am") is None


@pytest.mark.parametrize("file", ["projector.safetensors", INDEX])
def test_at_the_start_the_one_before_a_damaged_one_answers(
    registry_path: Path, second: tuple[Path, LlinkPipeline], file: str
) -> None:
    Registry(registry_path).publish(second[0])
    broken = registry_path / "bo" / "v0002" / file
    broken.write_bytes(broken.read_bytes()[:-3])
    with up(registry_path) as running:
        assert version_of(chat(running.url)) == "v0001"
        assert "bo v0002" in bundles(running.url)["refused"]


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_bundle_that_is_damaged_after_it_was_loaded_is_no_fault_of_the_request(
    live: Running, registry_path: Path, half: str
) -> None:
    chat(live.url)
    whole = damage(registry_path / "bo" / "v0001")
    assert chat(live.url)  # it is loaded, and its files are not looked at
    reader = next(iter(live.service.backend.encoder_servers.values()))  # type: ignore[attr-defined]
    (
        reader if half == "encoder" else live.decoder_server
    ).bundles.clear()  # as in a replica that was started anew
    answer = httpx2.post(f"{live.url}/v1/chat/completions", json=body())
    assert answer.status_code == 503 and str(registry_path) not in answer.text
    (registry_path / "bo" / "v0001" / "projector.safetensors").write_bytes(whole)
    assert chat(live.url)


def test_the_admins_door(live: Running) -> None:
    for method, path in (("GET", "/admin/bundles"), ("POST", "/admin/reload")):
        statuses = {
            None: 401,
            "Bearer a-key-of-somebody-else": 403,
            f"Bearer {ADMIN}x": 403,
            f"Bearer {ADMIN}": 200,
        }
        for key, status in statuses.items():
            headers = {} if key is None else {"authorization": key}
            answer = httpx2.request(method, f"{live.url}{path}", headers=headers)
            assert answer.status_code == status, (path, key)


def test_a_registry_that_is_away_is_no_fault_of_the_request(live: Running, registry_path: Path) -> None:
    pin = registry_path / "bo" / "current.json"
    pin.write_text("{")
    answer = httpx2.post(f"{live.url}/admin/reload", headers=ADMINS)
    assert answer.status_code == 503 and "current.json" in answer.json()["error"]["message"]
    assert version_of(chat(live.url)) == "v0001"
    pin.unlink()
    assert httpx2.post(f"{live.url}/admin/reload", headers=ADMINS).status_code == 200


def test_twenty_switches_under_load_fail_nothing_and_leave_nothing(
    live: Running, registry_path: Path, lessons: Lessons, second: tuple[Path, LlinkPipeline]
) -> None:
    registry, process = Registry(registry_path), psutil.Process(os.getpid())
    pool, cached = live.engine.pool, live.decoder_server.bundles
    sizes, handles = [], []
    with LoadGenerator(live.url, clients=4, streams=1).running() as load:
        for turn in range(20):
            number = registry.publish((second, lessons["bo"])[turn % 2][0]).name
            until_serving(live.url, number)
            sizes.append(process.memory_info().rss >> 20)
            handles.append(process.num_fds())
    print(f"{load.outcomes} {load.endings}, MiB {sizes}, handles {handles}, slowest {load.slowest:.2f} s")
    assert set(load.outcomes) == {"200"} and set(load.endings) == {"[DONE]"}
    assert load.outcomes["200"] >= 20 and len({version for version, _ in load.answers}) >= 10
    assert len(cached.refs) == 3 and len(live.engine.adapters) == 3
    assert pool.size <= 1 + 3 + 3, "rows of the pool: three versions, and those that requests still held"
    assert all(len(reader.bundles.refs) == 3 for reader in live.service.backend.encoder_servers.values())  # type: ignore[attr-defined]
    assert sizes[-1] - sizes[4] < 40, sizes
    assert handles[-1] - handles[4] < 10, handles
