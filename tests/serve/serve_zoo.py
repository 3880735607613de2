"""A registry of two languages and the API over it: real HTTP on loopback, models in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from listening import listening
from model_zoo import learn, small_settings, write_taught
from steered_engine import SteeredEngine

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.bundles.registry import Registry
from llink_ray.engine import DecoderEngine, EngineLimits
from llink_ray.models.decoder import Decoder, load_tokenizer
from llink_ray.prompts.builder import PromptBuilder
from serve.api import create_app
from serve.backend import LocalBackend
from serve.base_models import current_bundles, required_models
from serve.decoder_server import DecoderServer
from serve.encoder_server import EncoderServer
from serve.service import Service
from serve.settings import ServeSettings, resolve

BO = "ཁང་པའི་ནང་དུ་ཞོག་ཁོག་༥༦༠ ཡོད་པ་རེད།"
KM = "កសិករលក់ផ្លែប៉ោម៣០។"
LANGUAGES = ("bo", "km")


@cache
def trained() -> LlinkPipeline:
    """The one short training that all bundles of these tests are made of; copy it to change it."""
    slots = {"count": 3, "heads": 2, "layers": 1, "max_sentences": 4}
    return learn(small_settings("embedded", "embedded", slots=slots)).taught


def teach(folder: Path, code: str, seed: int = 0, noise: float = 0.1) -> LlinkPipeline:
    """A bundle in ``folder`` of a short training whose adapters change what is said; the taught decoder."""
    taught = deepcopy(trained())
    torch.manual_seed(7 * len(code) + ord(code[0]) + 100 * seed)
    with torch.no_grad():
        for name, parameter in taught.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, noise)
    taught.language = code
    write_taught(folder, taught, language=code, seed=seed)
    return taught


def talkers(folder: Path, code: str, instruction: str, text: str, tokens: int, count: int = 1) -> list[Path]:
    """Bundles that answer at length, of several: where random words end is a matter of luck."""
    found: list[Path] = []
    for seed in range(1, 25):
        place = folder / f"{code}-{seed}"
        taught = teach(place, code, seed, noise=2.0)
        long = taught.settings.evaluation.model_copy(update={"max_new_tokens": tokens})
        taught.settings = taught.settings.model_copy(update={"evaluation": long})
        if len(taught.answer(instruction, text).split()) > 0.6 * tokens:
            found.append(place)
        if len(found) == count:
            return found
    raise AssertionError(f"of 24 seeds {len(found)} gave a bundle that answers at length")


def create_service(
    settings: ServeSettings, create: Callable[[Decoder, EngineLimits], DecoderEngine] = SteeredEngine
) -> Service:
    """The service with its models in this process."""
    decoder, encoders = required_models(
        current_bundles(Registry(settings.registry)), settings.decoder, settings.encoders
    )
    encoder_servers = {
        name: EncoderServer(one, settings.registry, settings.cache_bytes) for name, one in encoders.items()
    }
    prompts = PromptBuilder(load_tokenizer(decoder))
    engine = create(Decoder.load(decoder), EngineLimits(**settings.engine.model_dump()))
    decoder_server = DecoderServer(engine, prompts, settings.registry)
    return Service(
        settings,
        LocalBackend(encoder_servers, decoder_server),
        list(encoder_servers),
        prompts,
        decoder,
    )


class Running:
    """The API, up."""

    def __init__(self, service: Service, url: str) -> None:
        self.service, self.url = service, url

    @property
    def engine(self) -> Any:
        """A ``SteeredEngine``, unless the API was started over another."""
        return self.decoder_server.engine

    @property
    def decoder_server(self) -> DecoderServer:
        backend: Any = self.service.backend
        decoder_server: DecoderServer = backend.decoder_server
        return decoder_server


@contextmanager
def up(
    registry: Path,
    *assignments: str,
    environment: dict[str, str] | None = None,
    create: Callable[[Decoder, EngineLimits], DecoderEngine] = SteeredEngine,
) -> Iterator[Running]:
    """The API over a registry, ready."""
    given = (f"registry={registry}", "poll_seconds=0.1", *assignments)
    settings = resolve(None, given, environment or {})
    service = create_service(settings, create)
    try:
        with listening(create_app(service), lambda: service.ready) as url:
            yield Running(service, url)
    finally:
        Running(service, "").engine.stop()
