"""A rater that is a program: fills in the pages' own forms over HTTP, and remembers what was acknowledged.

It is what a browser without scripts would do, with two habits of our scripts: a choice is kept as soon as it
is made, and what cannot be sent is sent again, with the same nonce, until the server answers.
"""

import asyncio
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from html import unescape

import httpx

_FORM = re.compile(r'<form method="post" action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
_RADIO = re.compile(r'name="rate-([^"]+)" value="1"')
RETRY_S = 0.1
LINES = (
    "I have not slept well since the exam.",
    "My brother does not answer my letters any more, and I miss him.",
    "It got worse when the winter began.",
    "I do not know whom I could tell at work.",
    "Yes, that is how it feels.",
)


@dataclass
class Log:
    """What all raters of one run saw: seconds by kind of page, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    resent: int = 0


class ScriptedRater:
    """One rater. What the server has acknowledged stands in `said`, `rated`, `chosen` and `submitted`."""

    def __init__(self, name: str, url: str, token: str, log: Log, think_s: float, seed: int):
        """Take a pseudonym with its link, and how long to think, in the mean, before each act."""
        self.name = name
        self.log = log
        self.said: Counter[tuple[str, str]] = Counter()  # (task, text)
        self.rated: dict[tuple[str, str], int] = {}  # (task, dimension)
        self.chosen: Counter[tuple[str, str]] = Counter()  # (task, choice), by turn or item
        self.submitted: set[str] = set()
        self._token = token
        self._think_s = think_s
        self._draw = random.Random(f"{seed} {name}")
        headers = {"origin": url}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, follow_redirects=False, timeout=60)
        self._page = ""
        self._path = ""

    async def work(self, going_on: Callable[[], bool]) -> None:
        """Open the link, agree, and do task after task while `going_on()` and there are any."""
        async with self._http:
            await self._open(f"/r/{self._token}", "link")
            if self._path == "/consent":
                await self._send("/consent", "consent", agree="yes")
            while going_on():
                await self._open("/task", "next task")
                if not self._path.startswith("/t/"):
                    return
                await self._task(self._path.split("/")[2], going_on)

    async def _task(self, task: str, going_on: Callable[[], bool]) -> None:
        while going_on():
            if "data-stream" in self._page:
                await self._wait(f"/t/{task}")
            elif form := self._form("/retry"):
                await self._send(form, "retry")
            elif "aria-pressed" in self._page and 'aria-pressed="true"' not in self._page:
                choice = self._draw.choice(("a", "tie", "b"))
                if await self._send(f"/t/{task}/choose", "choice", choice=choice):
                    self.chosen[task, choice] += 1
            elif self._form("/continue") and self._page.count('aria-pressed="true"') < 2:
                await self._send(f"/t/{task}/continue", "choice", side=self._draw.choice("ab"))
            elif 'class="button main" href="/t/' in self._page:
                await self._open(f"/t/{task}/rate", "rating form")
            elif self._form("/submit"):
                await self._rate(task)
                return
            elif self._form("/message"):
                text = f"{self._draw.choice(LINES)} ({self._draw.randrange(10**9)})"
                if await self._send(f"/t/{task}/message", "message", text=text):
                    self.said[task, text] += 1
            else:
                self.log.errors[f"nothing to do on {self._path}"] += 1
                return

    async def _rate(self, task: str) -> None:
        form, page = f"/t/{task}/submit", self._page
        given = {}
        for dimension in _RADIO.findall(page):
            value = self._draw.randint(1, 5)
            fields = {"dimension": dimension, "value": str(value), "nonce": f"n{self._draw.getrandbits(64)}"}
            body = {"csrf": self._fields(form)["csrf"], **fields}
            response = await self._ask("rating", "POST", f"/t/{task}/rating", body)
            if response.status_code != 204:
                self.log.errors[f"rating: {response.status_code}"] += 1
                continue
            self.rated[task, dimension] = value
            given[f"rate-{dimension}"] = str(value)
        if await self._send(form, "submit", **given, do="submit"):
            self.submitted.add(task)

    async def _wait(self, path: str) -> None:
        """Read the stream of an answer to its end; this is generation, and not measured."""
        await self._until_answered(lambda: self._http.get(f"{path}/answers"))
        await self._open(path, "conversation")

    def _form(self, ending: str) -> str | None:
        return next((action for action, _ in _FORM.findall(self._page) if action.endswith(ending)), None)

    def _fields(self, action: str) -> dict[str, str]:
        body = next(inside for found, inside in _FORM.findall(self._page) if found == action)
        return {name: unescape(value) for name, value in _HIDDEN.findall(body)}

    async def _open(self, path: str, kind: str) -> None:
        await self._arrive(kind, await self._ask(kind, "GET", path))

    async def _send(self, action: str, kind: str, **values: str) -> bool:
        """Send a form; True when the server has taken it (and sends on without a note)."""
        response = await self._ask(kind, "POST", action, self._fields(action) | values)
        taken = response.status_code == 303 and "note=" not in response.headers["location"]
        if not taken:
            self.log.errors[
                f"{kind}: {response.status_code} {response.headers.get('location', '')[-24:]}"
            ] += 1
        await self._arrive(kind, response)
        return taken

    async def _arrive(self, kind: str, response: httpx.Response) -> None:
        while response.status_code == 303:
            path = response.headers["location"].split("#")[0]
            response = await self._ask(f"{kind}: page", "GET", path)
        if response.status_code != 200:
            self.log.errors[f"{kind}: {response.status_code}"] += 1
        self._page, self._path = response.text, response.url.path

    async def _ask(
        self, kind: str, method: str, path: str, body: dict[str, str] | None = None
    ) -> httpx.Response:
        await asyncio.sleep(self._draw.expovariate(1 / self._think_s) if self._think_s else 0)
        began = time.perf_counter()
        response = await self._until_answered(lambda: self._http.request(method, path, data=body))
        self.log.seconds[kind].append(time.perf_counter() - began)
        return response

    async def _until_answered(self, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        while True:
            try:
                return await ask()
            except httpx.TransportError:
                self.log.resent += 1
                await asyncio.sleep(RETRY_S)
