"""The web application put together: the raters' and the operator's pages, static files, pages of errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from rating.app import routes_operator, routes_rater, streaming
from rating.app.raters import Refused
from rating.app.security import BODY_LIMIT, Guard
from rating.app.site import HERE, Site, redirect, render, sentence, static_files, the_site, translations

_CACHED = {"cache-control": f"public, max-age={365 * 24 * 3600}, immutable"}
_GONE = {"unknown_token": 404, "revoked": 403, "withdrawn": 410}  # the link opens nothing any more


def make_app(site: Site) -> FastAPI:
    """Return the application. It starts and stops the workers that let the models answer."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        site.answers.start()
        yield
        site.answers.stop()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, redirect_slashes=False)
    app.state.site = site
    app.include_router(streaming.router)
    app.include_router(routes_rater.router)
    if site.operator:
        app.include_router(routes_operator.router)
    app.add_api_route("/static/{name}", _static, methods=["GET"])
    # A character has at most 4 bytes in UTF-8, and each has 3 in a form.
    limit = max(BODY_LIMIT, 12 * site.study.message_limit + 4096)
    app.add_middleware(Guard, origins=site.origins, limit=limit)
    app.add_exception_handler(Refused, _refused)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _broken)
    return app


def _static(name: str) -> Response:
    if name not in static_files():
        raise HTTPException(404)
    return FileResponse(HERE / "static" / name, headers=_CACHED)


def _refused(request: Request, refused: Refused) -> Response:
    """Show why a rater's action was refused: on the page it came from, or on one of its own."""
    code = refused.code
    address = request.client.host if request.client else ""
    if code == "unknown_token" and not the_site(request).guesses.allows(address):
        return _problem(request, 429, "too_fast")
    if code in _GONE:
        return _problem(request, _GONE[code], code)
    if code == "no_consent":
        return redirect("/consent")
    if code == "not_yours":
        return _problem(request, 404, "not_found", "/task")
    task_id = request.path_params.get("task_id")
    if request.method == "POST" and task_id and code != "busy":
        return redirect(f"{refused.back or f'/t/{task_id}'}?note={code}")
    return _problem(request, 503 if code in ("busy", "paused") else 409, code, "/task")


def _http_error(request: Request, error: HTTPException) -> Response:
    """Show an error of the request. The detail of one that a route raised is the code of a sentence."""
    headers = error.headers or {}
    if "location" in headers:
        return redirect(headers["location"])
    way_on = "/task" if error.status_code != 404 else None
    response = _problem(request, error.status_code, error.detail, way_on)
    response.headers.update(headers)
    return response


def _broken(request: Request, error: Exception) -> Response:
    return _problem(request, 500, "broken", "/task")


def _problem(request: Request, status: int, code: str, way_on: str | None = None) -> Response:
    study = the_site(request).study
    w = translations(study.language(None))
    text = sentence(study, code, study.language(None), {}) or w.get(code, w["not_found"])
    return render("problem", status, w=w, text=text, way_on=way_on)
