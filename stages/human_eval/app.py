"""The web application put together: raters' pages, operator's pages, and what goes wrong said kindly."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stages.human_eval import entering, operating, streaming, working
from stages.human_eval.errors import Refused
from stages.human_eval.security import BODY_LIMIT, Denied, Guard
from stages.human_eval.site import GONE, Site, see, sentence, the_site
from stages.human_eval.words import words

_log = logging.getLogger(__name__)


def make_app(site: Site) -> FastAPI:
    """Return the application. It starts and stops the workers that let the models answer."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        site.answers.start()
        yield
        site.answers.stop()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=life, redirect_slashes=False)
    app.state.site = site
    app.include_router(entering.router)
    app.include_router(streaming.router)
    app.include_router(working.router)
    if site.operator:
        app.include_router(operating.router)
    app.add_api_route("/static/{name}", _static, methods=["GET"])
    # A character has at most 4 bytes in UTF-8, and each has 3 in a form.
    limit = max(BODY_LIMIT, 12 * site.study.message_limit + 4096)
    app.add_middleware(Guard, origins=site.origins, limit=limit)
    app.add_exception_handler(Refused, _refused)  # type: ignore[arg-type]
    app.add_exception_handler(Denied, _denied)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _other)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _broken)
    return app


async def _static(request: Request, name: str) -> Response:
    response = the_site(request).pages.static(request, name)
    if response is None:
        raise Denied(404, "not_found")
    return response


def _problem(request: Request, status: int, code: str, way_on: str | None = None) -> Response:
    site = the_site(request)
    language = site.study.language(None)
    w = words(language)
    text = sentence(site, code, language, {}) or w.get(code, "broken")
    heading = w.error_title
    return site.pages.page(
        "problem", status, language=language, w=w, heading=heading, text=text, way_on=way_on
    )


def _refused(request: Request, refused: Refused) -> Response:
    site = the_site(request)
    if refused.code == "unknown_token":
        address = request.client.host if request.client else ""
        if not site.guessing.take(address):
            return _problem(request, 429, "too_fast")
    if refused.code in GONE:
        return _problem(request, GONE[refused.code], refused.code)
    if refused.code == "no_consent":
        return see("/consent")
    if refused.code == "not_yours":
        return _problem(request, 404, "not_found", "/task")
    status = {"busy": 503, "paused": 503}.get(refused.code, 409)
    return _problem(request, status, refused.code, "/task")


def _denied(request: Request, denied: Denied) -> Response:
    if denied.code == "link_title":
        return see("/")
    if denied.code == "operator_login":
        return see("/operator/login")
    code = "old_form_plain" if denied.code == "old_form" else denied.code
    response = _problem(request, denied.status, code, "/task" if denied.status != 404 else None)
    if denied.status == 429:
        response.headers["retry-after"] = "2"
    return response


def _other(request: Request, error: HTTPException) -> Response:
    return _problem(request, error.status_code, "not_found")


def _broken(request: Request, error: Exception) -> Response:
    return _problem(request, 500, "broken", "/task")
