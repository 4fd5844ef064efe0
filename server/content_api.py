"""What stands around the content pipeline (contract 2): its templates, and what the server runs."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import Any, cast

import trio

from engine import JSON, ContentPipeline, InvalidRequest, NotFound, Template, Templates, Viewer
from server.hub import Hub
from server.models import Models
from server.protocols.control import parse_body, split_options
from server.protocols.interface import Start


async def content_start(hub: Hub, models: Models, viewer: Viewer, request: JSON) -> Start:
    """Make of a request what starts its session, if its models may be used.

    Raises:
        InvalidRequest: a field breaks its rule. Forbidden: a model is not for this role.
        ProviderNotFound, ProviderNotConfigured: there is no such model.
    """
    options, rest = split_options(request)
    command, _ = hub.engine.pipeline("content").parse(rest)
    wanted = [
        getattr(command, f"{stage}_model") or ""
        for stage in ("generator", "formatter")
        if hasattr(command, f"{stage}_model")
    ]
    await models.check(_role(viewer), wanted)
    return Start(protocol="content", data=rest, options=options)


async def rater_start(
    hub: Hub, models: Models, viewer: Viewer, request: JSON, *, several: bool
) -> Start:
    """Make of a request what starts its session, if its model may be used.

    A model that is not there is the session's own error (LLM_NOT_AVAILABLE).

    Raises:
        InvalidRequest: a field breaks its rule. Forbidden: the model is not for this role.
    """
    options, rest = split_options(request)
    has_raters = "raters" in {key.casefold() for key in rest}
    if several and not has_raters:
        raise InvalidRequest("raters is required", [("raters", "is required")])
    if has_raters and not several:
        text = "several raters are asked at /api/v1/rater-feedback/batch/stream"
        raise InvalidRequest(text, [("raters", text)])
    command, _ = hub.engine.pipeline("rater").parse(rest)
    await models.check(_role(viewer), [command.model or ""], strict=False)
    return Start(protocol="rater", data=rest, options=options)


def _role(viewer: Viewer) -> str:
    return "admin" if viewer.is_admin else "editor"


# ---- templates -----------------------------------------------------------------------------------


async def list_templates(hub: Hub) -> JSON:
    """Show all templates as they are in use."""
    listing = await trio.to_thread.run_sync(_templates(hub).listing)
    return {"prompts": [_template_json(template) for template in listing]}


async def replace_template(hub: Hub, content_type: str, stage: str, body: str | bytes) -> JSON:
    """Put an operator's template in the place of the present one.

    Raises:
        NotFound: there is no such type or stage. InvalidRequest: it is unusable as a template.
        Conflict: there is no folder to keep it in.
    """
    kind, stage = _place(content_type, stage)
    text = parse_body(body).get("text")
    if not isinstance(text, str):
        raise InvalidRequest("text must be a string", [("text", "must be a string")])
    replace = partial(_templates(hub).replace, cast(Any, kind), cast(Any, stage), text)
    return _template_json(await trio.to_thread.run_sync(replace))


async def reset_template(hub: Hub, content_type: str, stage: str) -> JSON:
    """Go back to the packaged template, and show it.

    Raises:
        NotFound: there is no such type or stage. Conflict: as `replace_template`.
    """
    kind, stage = _place(content_type, stage)
    reset = partial(_templates(hub).reset, cast(Any, kind), cast(Any, stage))
    return _template_json(await trio.to_thread.run_sync(reset))


def _templates(hub: Hub) -> Templates:
    pipeline = hub.engine.pipeline("content")
    assert isinstance(pipeline, ContentPipeline)
    return pipeline.templates


def _place(content_type: str, stage: str) -> tuple[str, str]:
    kind = content_type.upper()
    if kind not in ("MCQ", "NMCQ", "SUMMARY") or stage not in ("generator", "formatter"):
        raise NotFound(
            f"there is no template {content_type}/{stage}; types are MCQ, NMCQ and SUMMARY, "
            "stages are generator and formatter"
        )
    return kind, stage


def _template_json(template: Template) -> JSON:
    return {
        "content_type": template.content_type,
        "stage": template.stage,
        "text": template.text,
        "hash": template.hash,
        "is_default": template.is_default,
    }


# ---- the version ---------------------------------------------------------------------------------


async def describe_version(hub: Hub) -> JSON:
    """Say what runs here: the version, the templates' hashes, the models."""
    listing = await trio.to_thread.run_sync(_templates(hub).listing)
    provider, model = hub.engine.providers.resolve("")
    return {
        "version": version("antiphon"),
        "prompt_hashes": {f"{each.content_type}/{each.stage}": each.hash for each in listing},
        "default_model": f"{provider.name}/{model}",
        "models": [
            f"{info.name}/{name}" for info in hub.engine.providers.infos() for name in info.models
        ],
    }
