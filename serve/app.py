"""The Ray Serve application: ingress, an encoder deployment for each encoder, the decoder deployment.

python -m serve                                     # on this machine: what `make serve` does
serve run serve.app:build registry=runs/registry     # on a Ray that runs already
serve deploy deploy/serve.yaml                       # the same from a file
"""

from __future__ import annotations

import json
from typing import Any

from ray import serve
from ray.serve import Application

from llink_ray.bundles.registry import Registry
from llink_ray.engine import EngineLimits
from llink_ray.errors import LlinkError
from llink_ray.models.decoder import load_tokenizer
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.settings import DecoderSettings
from serve import ray_patches
from serve.api import create_app
from serve.backend import RayBackend
from serve.base_models import current_bundles, models_of
from serve.decoder_server import DecoderServer
from serve.encoder_server import EncoderServer
from serve.service import Service
from serve.settings import DeploymentSettings, ServeSettings, resolve

APPLICATION = "llink"
"""Its name in Ray Serve."""


@serve.ingress()
class Ingress:
    """HTTP, and nothing else knows of it."""

    def __init__(
        self,
        settings: ServeSettings,
        decoder: DecoderSettings,
        encoder_servers: dict[str, Any],
        decoder_server: Any,
    ) -> None:
        ray_patches.close()
        prompt = PromptBuilder(load_tokenizer(decoder))
        self._service = Service(
            settings, RayBackend(encoder_servers, decoder_server), list(encoder_servers), prompt, decoder
        )

    async def drain(self, seconds: float) -> None:
        """See ``GracefulShutdown.drain``."""
        await self._service.stopping.drain(seconds)

    def __serve_build_asgi_app__(self) -> Any:
        return create_app(self._service, tells_id=False)  # Ray's proxy tells it


class DecoderReplica(DecoderServer):
    """A decoder server in a process of Ray Serve."""

    def __init__(self, *given: Any) -> None:
        ray_patches.close()
        super().__init__(*given)


class EncoderReplica(EncoderServer):
    """An encoder server in a process of Ray Serve."""

    def __init__(self, *given: Any) -> None:
        ray_patches.close()
        super().__init__(*given)


def application(settings: ServeSettings) -> Application:
    """The deployments, wired.

    Raises:
        LlinkError: an empty registry, bundles of several decoders, or impossible settings.
    """
    registry = Registry(settings.registry)
    bundles = current_bundles(registry)
    if not bundles:
        raise LlinkError(
            f"{registry.name} holds no bundle yet: teach a language first, python jobs/train.py "
            "--lang=tibetan, or have it done now with --teach tibetan (--teach all: the embedded ones)"
        )
    decoder, encoders = models_of(bundles, settings.decoder, settings.encoders)
    asked = settings.deployments
    limits = EngineLimits(**settings.engine.model_dump())
    decoder_server = serve.deployment(DecoderReplica).options(
        name="decoder_server", **_options(asked.decoder_server)
    )
    encoder_server = serve.deployment(EncoderReplica).options(**_options(asked.encoder_server))
    ingress = serve.deployment(Ingress).options(name="ingress", **_options(asked.ingress))
    encoder_servers = {
        name: encoder_server.options(name=name).bind(
            encoder, settings.registry, settings.cache_bytes, settings.device
        )
        for name, encoder in encoders.items()
    }
    spoken = decoder_server.bind(decoder, settings.registry, limits, settings.device)
    bound: Application = ingress.bind(settings, decoder, encoder_servers, spoken)
    return bound


def _options(asked: DeploymentSettings) -> dict[str, Any]:
    """What Ray Serve calls it."""
    found: dict[str, Any] = {
        "max_ongoing_requests": asked.max_ongoing_requests,
        "ray_actor_options": {"num_cpus": asked.num_cpus, "num_gpus": asked.num_gpus},
        "graceful_shutdown_timeout_s": asked.shutdown_seconds,
        "graceful_shutdown_wait_loop_s": 0.5,  # looks whether something runs; the default makes Ctrl-C slow
        "health_check_period_s": 2.0,
        "health_check_timeout_s": 30.0,
        "logging_config": {"enable_access_log": False},  # the ingress writes a line for each request itself
    }
    if asked.min_replicas == asked.max_replicas:
        return found | {"num_replicas": asked.min_replicas}
    return found | {
        "autoscaling_config": {
            "min_replicas": asked.min_replicas,
            "max_replicas": asked.max_replicas,
            "target_ongoing_requests": max(1, asked.max_ongoing_requests // 2),
        }
    }


def build(args: dict[str, Any]) -> Application:
    """For ``serve run`` and ``serve deploy``: ``settings`` names a YAML file, all else are settings.

    Raises:
        LlinkError: what is wrong with them.
    """
    given = {key: value for key, value in args.items() if key != "settings"}
    # The command line gives text, which is read as YAML; a config file gives values.
    assignments = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in given.items()
    ]
    return application(resolve(args.get("settings"), assignments))
