"""What every route needs: the store, the answers, the templates, and the rater who asks."""

import hashlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

from fastapi import Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse

from rating.app.answers import Answers
from rating.app.raters import Code, Rater
from rating.app.schema import RaterRow
from rating.app.security import RATER_COOKIE, Origins, RateLimit, form_token, read_form, too_fast
from rating.app.store import Store
from rating.app.study import Study
from rating.password import Operator
from selfevolve.runtime.files import read_yaml

HERE = Path(__file__).parent
NOTES = {*get_args(Code), "saved", "consent_needed"}  # sentences that an address may ask for by ?note=


@dataclass(frozen=True)
class Pace:
    """How an answer appears, whichever model writes it: seconds until its first word, then words a second."""

    first_s: float
    words_a_second: float


@dataclass
class Site:
    """One running application."""

    store: Store
    answers: Answers
    origins: Origins
    pace: Pace
    operator: Operator | None = None
    url: str | None = None  # under which raters reach it, where that is not the address bound
    requests: RateLimit = field(default_factory=lambda: RateLimit(rate=20, burst=80))  # of a rater
    guesses: RateLimit = field(default_factory=lambda: RateLimit(rate=0.5, burst=30))  # of links, an address
    logins: RateLimit = field(default_factory=lambda: RateLimit(rate=0.1, burst=5))  # of all together

    @property
    def study(self) -> Study:
        """The study that the store holds."""
        return self.store.study


@dataclass(frozen=True)
class Visit:
    """A request, the secret in its cookie and, of a POST, its form."""

    request: Request
    secret: str
    form: dict[str, str]

    @property
    def site(self) -> Site:
        """The application."""
        return the_site(self.request)

    @property
    def study(self) -> Study:
        """The study."""
        return self.site.study

    def number(self, name: str) -> int | None:
        """Return a small number of a form's field, or None."""
        text = self.form.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


class RaterVisit(Visit):
    """A rater's request. Whether the cookie is good, the first transaction says."""

    @property
    def nonce(self) -> str:
        """What makes this one action, however often it is sent."""
        return self.form.get("nonce", "")

    @contextmanager
    def writing(self) -> Iterator[Rater]:
        """Give the rater in one transaction that may change something."""
        with self.site.store.writing() as db:
            yield Rater.of(db, self.study, self.secret)

    @contextmanager
    def reading(self) -> Iterator[Rater]:
        """Give the rater in one transaction that changes nothing."""
        with self.site.store.reading() as db:
            yield Rater.of(db, self.study, self.secret)

    def rater(self) -> RaterRow:
        """Return the rater."""
        with self.reading() as rater:
            return rater.row

    def page(
        self, name: str, rater: RaterRow, status: int = 200, *, language: str | None = None, **values: Any
    ) -> HTMLResponse:
        """Return a page in the rater's language, with the sentence that ?note= or `note` asks for."""
        spoken = language or self.study.language(rater.language)
        note = values.pop("note", self.request.query_params.get("note"))
        fixed = {"rater": rater, "language": spoken, "csrf": form_token(self.secret), "study": self.study}
        fixed |= {"path": self.request.url.path, "w": translations(spoken)}
        fixed["note"] = sentence(self.study, note, spoken, values.pop("facts", {}))
        return render(name, status, **fixed, **values)


def the_site(request: Request) -> Site:
    """Return the application's parts."""
    site: Site = request.app.state.site
    return site


async def _get(request: Request) -> RaterVisit:
    token = request.cookies.get(RATER_COOKIE, "")
    if not token:
        raise HTTPException(303, headers={"location": "/"})
    if not the_site(request).requests.allows(form_token(token)):
        raise too_fast()
    return RaterVisit(request, token, {})


async def _post(visit: Annotated[RaterVisit, Depends(_get)]) -> RaterVisit:
    return RaterVisit(visit.request, visit.secret, await read_form(visit.request, visit.secret))


RaterGet = Annotated[RaterVisit, Depends(_get)]
"""A rater's GET. HTTPException: no cookie, or too many requests."""
RaterPost = Annotated[RaterVisit, Depends(_post)]
"""A rater's POST with its form. HTTPException: as `RaterGet`, or the form is not theirs."""


def redirect(path: str) -> RedirectResponse:
    """Send the browser on with a GET, so that loading the page again repeats no action."""
    return RedirectResponse(path, 303)


def sentence(study: Study, code: str | None, language: str, facts: dict[str, Any]) -> str | None:
    """Return what a page says to a code; None of a code that is not known, as it may come from an address."""
    if code not in NOTES:
        return None
    known = {"limit": study.message_limit, "needed": study.minimum_turns}
    return translations(language)[code].format(**known | facts)


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page made of a template; the language of its own words is that of `w`."""
    return HTMLResponse(_templates().get_template(f"{template}.html").render(values), status)


@cache
def translations(language: str) -> dict[str, str]:
    """Return the pages' own words in a language, in English where there are none."""
    path = HERE / "translations" / f"{language}.yaml"
    found = language if path.is_file() else "en"
    own = {"language": found} | ({} if found == language else {"language_name": language})
    return read_yaml(path.with_stem(found)) | own


@cache
def static_files() -> dict[str, str]:
    """Return the addresses of the files in `static/` by name; an address changes with the content."""
    found = {path.name: hashlib.sha256(path.read_bytes()) for path in (HERE / "static").iterdir()}
    return {name: f"/static/{name}?v={digest.hexdigest()[:12]}" for name, digest in found.items()}


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals |= {
        "file": lambda name: static_files()[name],
        "language_name": lambda code: translations(code)["language_name"],
        "minute": lambda seconds: time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) if seconds else "–",
        "nonce": lambda: secrets.token_urlsafe(12),
    }
    return made
