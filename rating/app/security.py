"""What stands before every page: hosts, origins, sizes, rates, headers, cookies, tokens against forged forms.

A rater's cookie holds the token of the link, so that revoking the link ends every session of it. The forms'
token is derived from it: whoever cannot read the cookie cannot make one.
"""

import asyncio
import hashlib
import hmac
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from selfevolve.runtime.files import read_yaml

RATER_COOKIE = "rater"
OPERATOR_COOKIE = "operator"
COOKIE_DAYS = 60
BODY_LIMIT = 128 * 1024  # bytes of a form; a message's own limit in characters is the study's
FIELDS_LIMIT = 64
FORM_S = 30.0  # for a form to come in
BUCKETS = 20_000  # of one limit; the one that was asked longest ago goes first
_SENT = read_yaml(Path(__file__).with_name("guard.yaml"))


@dataclass(frozen=True)
class Origins:
    """The names under which this server may be asked. `secure` is for cookies."""

    hosts: frozenset[str]
    origins: frozenset[str]
    secure: bool

    @classmethod
    def of(cls, host: str, port: int, url: str | None) -> "Origins":
        """Return those of the address that is bound and of the URL that raters use, if a proxy has one."""
        names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
        hosts = {f"{name}:{port}" for name in names} | (names if port == 80 else set())
        origins = {f"http://{name}" for name in hosts}
        if url:
            parts = urlsplit(url)
            hosts.add(parts.netloc)
            origins.add(f"{parts.scheme}://{parts.netloc}")
        return cls(frozenset(hosts), frozenset(origins), bool(url and url.startswith("https:")))


class RateLimit:
    """Token buckets in memory that hold `burst` requests and are filled with `rate` a second."""

    def __init__(self, rate: float, burst: float):
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, key: str) -> bool:
        """Take one request from the bucket of `key`; False when it is empty."""
        now = time.monotonic()
        with self._lock:
            level, at = self._buckets.pop(key, (self._burst, now))
            level = min(self._burst, level + (now - at) * self._rate)
            allowed = level >= 1
            self._buckets[key] = (level - allowed, now)
            if len(self._buckets) > BUCKETS:
                self._buckets.popitem(last=False)
        return allowed


class Guard:
    """The outermost layer: refuses before anything is read or looked up, and adds headers to every answer.

    A body has at most `limit` bytes. What a client sends beyond it, the server reads and drops.
    """

    def __init__(self, app: ASGIApp, origins: Origins, limit: int = BODY_LIMIT):
        self._limit = limit
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request and hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read = 0

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("cache-control", "no-store")
                headers.update(_SENT["headers"])
            await send(message)

        async def receive_bounded() -> Message:  # bodies that do not say how long they are end here
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise HTTPException(413, "too_long")
            return message

        if refusal := self._refusal(scope["method"], Headers(scope=scope)):
            await PlainTextResponse(_SENT["refusals"][refusal], refusal)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive_bounded, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> int | None:
        """Return the status with which a request is refused, or None."""
        if headers.get("host", "").lower() not in self._origins.hosts:
            return 400
        if method in ("GET", "HEAD"):
            return None
        if method != "POST":
            return 405
        site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "").lower()
        known = origin in self._origins.origins if origin else bool(site)
        if site not in ("", "same-origin") or not known:
            return 403
        length = headers.get("content-length", "0")
        return 413 if not (length.isascii() and length.isdigit()) or int(length) > self._limit else None


def too_fast() -> HTTPException:
    """Return what to raise for somebody who asks too often."""
    return HTTPException(429, "too_fast", {"retry-after": "2"})


def form_token(secret: str) -> str:
    """Return the token that the forms of the session with this cookie carry."""
    return hmac.new(secret.encode(), b"forms of this session", hashlib.sha256).hexdigest()


async def read_form(request: Request, secret: str) -> dict[str, str]:
    """Return the fields of a form that was made for the session with this cookie."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(400, "not_a_form")
    try:
        async with asyncio.timeout(FORM_S):
            body = (await request.body()).decode("ascii")
        form = dict(parse_qsl(body, keep_blank_values=True, max_num_fields=FIELDS_LIMIT, errors="strict"))
    except (ValueError, TimeoutError):  # UnicodeDecodeError is a ValueError
        raise HTTPException(400, "not_a_form") from None
    if not hmac.compare_digest(form.get("csrf", "").encode(), form_token(secret).encode()):
        raise HTTPException(403, "old_form")
    return form


def set_cookie(
    response: Response, name: str, value: str, secure: bool, days: int | None = COOKIE_DAYS
) -> None:
    """Set a cookie that scripts and other sites never see; without `days` it ends with the browser."""
    age = days * 86400 if days else None
    response.set_cookie(name, value, max_age=age, httponly=True, samesite="strict", secure=secure)
