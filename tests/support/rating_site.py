"""A rating application on a free port of loopback, and raters who fill in its forms."""

import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import yaml

from rating.app import raters
from rating.app.answers import Answers, Model
from rating.app.export import export
from rating.app.security import Origins
from rating.app.site import Pace, Site
from rating.app.store import Store, open_store
from rating.app.study import Study, read_study
from rating.password import Operator, hash_password
from rating.serve import Server
from selfevolve.records.schema import Message
from tests.conftest import ROOT, read_lines

PASSWORD = "correct horse battery"


class Talker:
    """A tiny engine: says its seed and what it was told; `pause` seconds before each word."""

    def __init__(self, pause: float = 0.0, fail: int = 0):
        self.pause = pause
        self.fail = fail  # so many times before the first answer
        self.asked: list[tuple[tuple[Message, ...], int]] = []

    def __call__(self, messages: Sequence[Message], seed: int) -> Iterator[str]:
        self.asked.append((tuple(messages), seed))
        if len(self.asked) <= self.fail:
            raise RuntimeError(f"no answer to {messages[-1].content}")
        for word in ("I ", "hear ", "you, ", f"{seed}."):
            time.sleep(self.pause)
            yield word


@dataclass
class FormFields:
    """A form of a page: where it goes and what it carries."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[FormFields] = []
        self.inside = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append(FormFields(values["action"]))
            self.inside = True
        if self.inside and tag == "input" and values.get("type") == "hidden":
            self.forms[-1].fields[values["name"]] = values["value"]
        if self.inside and tag == "button" and "name" in values:
            self.forms[-1].buttons.append((values["name"], values["value"]))

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "form"


def forms(page: str) -> list[FormFields]:
    """All forms of a page."""
    parser = _Forms()
    parser.feed(page)
    return parser.forms


def form(page: str, ending: str) -> FormFields:
    """The form of a page whose action ends so."""
    found = [one for one in forms(page) if one.action.endswith(ending)]
    assert found, f"no form {ending} among {[one.action for one in forms(page)]} in\n{page}"
    return found[0]


class Visitor:
    """A browser without scripts: cookies, redirects, forms."""

    def __init__(self, url: str, token: str | None = None):
        self.url = url
        headers = {"origin": url}
        self.http = httpx.Client(base_url=url, headers=headers, follow_redirects=True, timeout=20)
        self.response: httpx.Response = self.get(f"/r/{token}") if token else self.get("/")

    @property
    def page(self) -> str:
        """The page that is open."""
        return self.response.text

    @property
    def path(self) -> str:
        """Where that is."""
        return self.response.url.path

    def get(self, path: str) -> httpx.Response:
        """Open a page."""
        self.response = self.http.get(path)
        return self.response

    def send(self, ending: str, **values: Any) -> httpx.Response:
        """Send a form of the open page."""
        one = form(self.page, ending)
        self.response = self.http.post(one.action, data=one.fields | {k: str(v) for k, v in values.items()})
        return self.response

    def begin(self) -> "Visitor":
        """Agree, and open the first task."""
        self.send("/consent", agree="yes")
        assert self.response.status_code == 200, self.page
        return self

    def say(self, text: str, wait: bool = True) -> httpx.Response:
        """Write a message in the open session, and wait until the answers are there."""
        response = self.send("/message", text=text)
        return self.wait() if wait and response.status_code == 200 else response

    def wait(self, seconds: float = 20) -> httpx.Response:
        """Load the page until nothing is being written."""
        end = time.monotonic() + seconds
        while "data-stream" in self.page:
            assert time.monotonic() < end, "no answer"
            time.sleep(0.02)
            self.get(self.path)
        return self.response


@dataclass
class Running:
    """A server that runs, and the links of its raters."""

    url: str
    site: Site
    tokens: list[str]

    @property
    def store(self) -> Store:
        """Its database."""
        return self.site.store

    def visitor(self, number: int = 0) -> Visitor:
        """A rater who has opened the link."""
        return Visitor(self.url, self.tokens[number])

    def operator(self) -> Visitor:
        """The operator, logged in."""
        visitor = Visitor(self.url)
        visitor.get("/operator/login")
        visitor.send("/operator/login", password=PASSWORD)
        return visitor


_HASH = hash_password(PASSWORD)


@contextmanager
def running(
    study: Study, models: dict[str, Model], database: Path, invited: int = 3, **settings: Any
) -> Iterator[Running]:
    """Serve a study from a thread of this process."""
    store = open_store(str(database), study)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with store.writing() as db:
        tokens = list(raters.invite(db, invited).values())
    timeout = settings.pop("timeout_s", 30.0)
    site = Site(
        store=store,
        answers=Answers(store, models, timeout),
        origins=Origins.of("127.0.0.1", port, None),
        operator=Operator(_HASH),
        **{"pace": Pace(0.0, 1e6)} | settings,
    )
    server = Server(site)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield Running(f"http://127.0.0.1:{port}", site, tokens)
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(10)
        store.close()


def make_study(folder: Path, mode: str, **changes: Any) -> Study:
    """The example study of that mode made short, with models m0 and m2; keys of None are left out."""
    value = yaml.safe_load((ROOT / f"rating/studies/{mode}.yaml").read_text(encoding="utf-8"))
    value |= {"models": ["m0", "m2"], "minimum_turns": 2, "sessions_per_rater": 1, "attention_checks": 0}
    value |= {"overlap": None, "raters": 3} | changes
    path = folder / f"{mode}.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in value.items() if v is not None}), encoding="utf-8")
    return read_study(path)


def exported(site: Running | Store, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What the export holds, by the names of its JSONL files."""
    store = site.store if isinstance(site, Running) else site
    out = folder / f"export-{time.monotonic_ns()}"
    with store.reading() as db:
        export(db, store.study, out)
    return {path.stem: read_lines(path) for path in out.glob("*.jsonl")}
