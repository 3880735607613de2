"""The Ray Serve application: an ingress, an encoder deployment for each encoder, the decoder deployment.

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
from llink_ray.engine.factory import create_engine
from llink_ray.errors import LlinkError
from llink_ray.models.decoder import load_tokenizer
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.settings import DecoderSettings
from serve import ray_patches
from serve.api import create_app
from serve.backend import RayBackend
from serve.base_models import current_bundles, required_models
from serve.decoder_server import DecoderServer
from serve.encoder_server import EncoderServer
from serve.service import Service
from serve.settings import DeploymentSettings, ServeSettings, resolve

APPLICATION = "llink"
"""Its name in Ray Serve."""


@serve.ingress()
class Ingress:
    """The HTTP API."""

    def __init__(
        self,
        settings: ServeSettings,
        decoder: DecoderSettings,
        encoder_servers: dict[str, Any],
        decoder_server: Any,
    ) -> None:
        ray_patches.patch_replica()
        prompt = PromptBuilder(load_tokenizer(decoder), decoder.system)
        backend = RayBackend(encoder_servers, decoder_server)
        self._service = Service(settings, backend, list(encoder_servers), prompt, decoder)

    async def drain(self, grace_seconds: float) -> None:
        """See ``GracefulShutdown.drain``."""
        await self._service.shutdown.drain(grace_seconds)

    def __serve_build_asgi_app__(self) -> Any:
        return create_app(self._service, send_id=False)  # Ray's proxy sends it


class DecoderReplica(DecoderServer):
    """A decoder server in a process of Ray Serve."""

    def __init__(self, decoder: DecoderSettings, registry: str, limits: EngineLimits, device: str) -> None:
        ray_patches.patch_replica()
        prompts = PromptBuilder(load_tokenizer(decoder), decoder.system)
        super().__init__(create_engine(decoder, limits, device), prompts, registry)


class EncoderReplica(EncoderServer):
    """An encoder server in a process of Ray Serve."""

    def __init__(self, *args: Any) -> None:
        ray_patches.patch_replica()
        super().__init__(*args)


def application(settings: ServeSettings) -> Application:
    """The deployments, bound to one another.

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
    decoder, encoders = required_models(bundles, settings.decoder, settings.encoders)
    deployments = settings.deployments
    encoder_deployment = serve.deployment(EncoderReplica).options(**_options(deployments.encoder_server))
    encoder_servers = {
        name: encoder_deployment.options(name=name).bind(
            encoder, settings.registry, settings.cache_bytes, settings.device
        )
        for name, encoder in encoders.items()
    }
    decoder_server = (
        serve.deployment(DecoderReplica)
        .options(name="decoder_server", **_options(deployments.decoder_server))
        .bind(decoder, settings.registry, EngineLimits(**settings.engine.model_dump()), settings.device)
    )
    ingress = serve.deployment(Ingress).options(name="ingress", **_options(deployments.ingress))
    bound: Application = ingress.bind(settings, decoder, encoder_servers, decoder_server)
    return bound


def _options(settings: DeploymentSettings) -> dict[str, Any]:
    """Options of ``serve.deployment``."""
    options: dict[str, Any] = {
        "max_ongoing_requests": settings.max_ongoing_requests,
        "ray_actor_options": {"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus},
        "graceful_shutdown_timeout_s": settings.shutdown_seconds,
        "graceful_shutdown_wait_loop_s": 0.5,  # polls for running requests; the default makes Ctrl-C slow
        "health_check_period_s": 2.0,
        "health_check_timeout_s": 30.0,
        "logging_config": {"enable_access_log": False},  # the ingress has an access log of its own
    }
    if settings.min_replicas == settings.max_replicas:
        return options | {"num_replicas": settings.min_replicas}
    return options | {
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": max(1, settings.max_ongoing_requests // 2),
        }
    }


def build(args: dict[str, Any]) -> Application:
    """For ``serve run`` and ``serve deploy``: ``settings`` names a YAML file, all else are settings.

    Raises:
        LlinkError: what is wrong with them.
    """
    # The command line gives text, which is read as YAML; a config file gives values.
    assignments = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in args.items()
        if key != "settings"
    ]
    return application(resolve(args.get("settings"), assignments))
