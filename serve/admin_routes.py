"""Models, health, metrics, and the operator's endpoints."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from llink_ray.errors import LlinkError
from llink_ray.storage.redact import without_paths
from serve.catalog import ServedLanguage
from serve.errors import ApiError
from serve.request_guard import RequestGuard
from serve.responses import ModelCard, ModelList
from serve.service import AUTO, ModelNotFound


def router(guard: RequestGuard) -> APIRouter:
    """The endpoints."""
    routes = APIRouter()
    service, catalog = guard.service, guard.service.catalog

    def cards() -> list[ModelCard]:
        served = list(catalog.languages.values())
        base = ModelCard(id=service.base, created=0, owned_by="base")
        auto = ModelCard(
            id=AUTO,
            created=max(map(_created, served), default=0),
            owned_by="llink",
            root=AUTO,
            parent=service.base,
            llink={"languages": [language.language.code for language in served]},
        )
        return [base, auto, *(_card(language, service.base) for language in served)]

    def bundles() -> dict[str, Any]:
        answering = {
            code: {"version": served.ref.version, "digest": served.ref.digest}
            for code, served in catalog.languages.items()
        }
        refused = {name: without_paths(why) for name, why in catalog.refused.items()}
        return {"answering": answering, "refused": refused}

    @routes.get("/v1/models", tags=["models"])
    async def list_models() -> ModelList:
        """The base, ``llink``, and a model for each language."""
        return ModelList(data=cards())

    @routes.get("/v1/models/{name:path}", tags=["models"])
    async def retrieve_model(name: str) -> ModelCard:
        """One model, with the version, parent and metrics of its bundle."""
        for card in cards():
            if card.id == name:
                return card
        selection = await service.select_model(name)  # by another name of the language, or an older version
        if selection.forced is None:
            raise ModelNotFound(f"there is no model {name!r} here: GET /v1/models lists them")
        return _card(selection.languages[selection.forced], service.base)

    @routes.get("/health", tags=["state"])
    async def health() -> dict[str, str]:
        """Liveness: the process answers."""
        return {"status": "ok"}

    @routes.get("/ready", tags=["state"])
    async def ready() -> JSONResponse:
        """Readiness: 200 once the models have answered."""
        status = "ready" if service.ready else "starting"
        models = [card.id for card in cards()]
        return JSONResponse({"status": status, "models": models}, 200 if service.ready else 503)

    @routes.get("/metrics", tags=["state"])
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        with suppress(LlinkError):
            service.metrics.decoder(await service.backend.load())
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @routes.get("/admin/bundles", tags=["admin"])
    async def list_bundles() -> dict[str, Any]:
        """Bundles that answer and bundles that were refused. Needs the admin key."""
        return bundles()

    @routes.post("/admin/reload", tags=["admin"])
    async def reload() -> dict[str, Any]:
        """Read the registry now, and try refused bundles once more. Needs the admin key."""
        try:
            await catalog.reload()
        except LlinkError as error:  # the request is right
            raise ApiError(503, f"the registry cannot be read: {without_paths(str(error))}") from None
        return bundles()

    return routes


def _created(served: ServedLanguage) -> int:
    return int(served.info.created.timestamp())


def _card(served: ServedLanguage, base: str) -> ModelCard:
    language, info = served.language, served.info
    return ModelCard(
        id=f"{AUTO}:{language.code}",
        created=_created(served),
        owned_by="llink",
        root=AUTO,
        parent=base,
        llink={
            "language": language.code,
            "name": language.name,
            "own_name": language.own_name,
            "direction": language.direction,
            "version": served.ref.version,
            "digest": served.ref.digest,
            "encoder": info.encoder.id,
            "decoder": info.decoder.id,
            "corpus": "phrasebook" if served.settings.corpus.path is None else "file",
            "slots": info.slots.model_dump(),
            "max_sentences": served.settings.slots.max_sentences,
            "metrics": served.metrics,
        },
    )
