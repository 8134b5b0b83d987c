"""What every handler needs: the store, the answers, the pages, and who is asking."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from stages.human_eval import raters
from stages.human_eval.answers import Answers
from stages.human_eval.errors import Refused
from stages.human_eval.limits import Limit
from stages.human_eval.passwords import Operator
from stages.human_eval.rendering import Pages
from stages.human_eval.security import (
    RATER_COOKIE,
    Denied,
    Origins,
    check_form,
    form_token,
    read_form,
)
from stages.human_eval.store import Store
from stages.human_eval.study import Study
from stages.human_eval.views import RaterView
from stages.human_eval.words import words

T = TypeVar("T")
Form = dict[str, str]


@dataclass(frozen=True)
class Pace:
    """How an answer appears, whichever model writes it: seconds until its first word, then words a second."""

    first_s: float = 0.8
    words_a_second: float = 12.0


@dataclass
class Site:
    """One running application."""

    store: Store
    answers: Answers
    origins: Origins
    operator: Operator | None = None
    url: str | None = None  # under which raters reach it, where that is not the address bound
    pace: Pace = field(default_factory=Pace)
    pages: Pages = field(default_factory=Pages)
    asking: Limit = field(default_factory=lambda: Limit(rate=20, burst=80))  # a rater's requests
    guessing: Limit = field(default_factory=lambda: Limit(rate=0.5, burst=30))  # unknown links, an address
    logins: Limit = field(default_factory=lambda: Limit(rate=0.1, burst=5))  # wrong or right, all together

    @property
    def study(self) -> Study:
        """The study that the store holds."""
        return self.store.study


@dataclass(frozen=True)
class Visit:
    """A request of somebody with a rater's cookie. Whether the cookie is good, the first transaction says."""

    site: Site
    request: Request
    token: str
    form: Form

    def act(self, change: Callable[[Session, RaterView], T]) -> T:
        """Make a change in one transaction, as the rater whose cookie this is."""
        with self.site.store.writing() as db:
            return change(db, raters.rater_by_token(db, self.token))

    def read(self, look: Callable[[Session, RaterView], T]) -> T:
        """Look something up, as the rater whose cookie this is."""
        with self.site.store.reading() as db:
            return look(db, raters.rater_by_token(db, self.token))

    @property
    def nonce(self) -> str:
        """The word that makes this act one act, however often it is sent."""
        return self.form.get("nonce", "")

    def page(self, name: str, rater: RaterView, status: int = 200, **values: Any) -> Response:
        """Return a page in the rater's language. The model of nothing is among the values."""
        language = values.pop("language", None) or self.site.study.language(rater.language)
        note = values.pop("note", self.request.query_params.get("note"))
        facts = values.pop("facts", {})
        return self.site.pages.page(
            name,
            status,
            csrf=form_token(self.token),
            rater=rater,
            language=language,
            note=sentence(self.site, note, language, facts),
            path=self.request.url.path,
            study=self.site.study,
            w=words(language),
            **values,
        )


def sentence(site: Site, code: str | None, language: str, facts: dict[str, Any]) -> str | None:
    """Return what a page says about a refusal. `code` may come from an address: only known ones are said."""
    if code not in NOTES:
        return None
    known = {"limit": site.study.message_limit, "needed": site.study.minimum_turns}
    return words(language)(code, **known | facts)


NOTES = frozenset(  # what a page may be told to say by its address
    (
        *("busy", "wrong_state", "empty", "too_long", "bad_value", "bad_nonce", "stale", "answer_pending"),
        *("choose_first", "continue_first", "too_early", "enough_turns", "unrated", "old_form", "saved"),
        *("consent_needed", "paused"),
    )
)
GONE = {"unknown_token": 404, "revoked": 403, "withdrawn": 410}  # refusals that have a page of their own


def the_site(request: Request) -> Site:
    """Return the application's parts."""
    return request.app.state.site


async def visit(request: Request) -> Visit:
    """Return who asks for a page. Raises Denied: no cookie, or too many requests."""
    site = the_site(request)
    token = request.cookies.get(RATER_COOKIE, "")
    if not token:
        raise Denied(403, "link_title")
    if not site.asking.take(form_token(token)):
        raise Denied(429, "too_fast")
    return Visit(site, request, token, {})


async def posted(request: Request) -> Visit:
    """Return who sends a form, and the form. Raises Denied: as visit, or the form is not theirs."""
    visitor = await visit(request)
    form = await read_form(request)
    check_form(form, visitor.token)
    return Visit(visitor.site, request, visitor.token, form)


def see(path: str) -> RedirectResponse:
    """Send the browser on with a GET, so that loading the page again repeats no act."""
    return RedirectResponse(path, 303)


def noted(path: str, refused: Refused) -> RedirectResponse:
    """Send the browser back to a page that says why nothing was changed."""
    if refused.code in GONE or refused.code in ("not_yours", "no_consent"):
        raise refused
    return see(f"{path}?note={refused.code}")
