"""What stands before every page: hosts, origins, sizes, headers, cookies, and tokens against forged forms.

A rater's cookie holds the token of the link, so that revoking the link ends every session of it, and nothing
has to be remembered over a restart. The token of the forms is derived from it: who cannot read the cookie
cannot make one.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RATER_COOKIE = "rater"
OPERATOR_COOKIE = "operator"
COOKIE_DAYS = 60
BODY_LIMIT = 128 * 1024  # bytes of a form; a message's own limit in characters is the study's
FIELDS_LIMIT = 64
FORM_S = 30.0  # for a form to come in
THROWN = 16 * 2**20  # bytes of a body that is too large, read to be thrown away
THROWN_S = 5.0
REASONS = {
    400: "This server has another name.\n",
    403: "Forms of other pages are not accepted.\n",
    405: "Not possible.\n",
    413: "Too large. The message was not sent: go back and shorten it.\n",
}
SAFE_METHODS = ("GET", "HEAD")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# "same-origin" and not "no-referrer": with that, browsers send "Origin: null" with every form.
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), browsing-topics=()",
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_NO_STORE = (b"cache-control", b"no-store")


class Denied(Exception):  # noqa: N818 - an answer to a client, not an error of the program
    """A request that is answered with a status and a page: 400, 403, 404, 413, 429."""

    def __init__(self, status: int, code: str):
        self.status = status
        self.code = code
        super().__init__(f"{status} {code}")


class _TooLarge(Exception):  # noqa: N818
    pass


@dataclass(frozen=True)
class Origins:
    """The names under which this server may be asked. `secure` is for cookies."""

    hosts: frozenset[str]
    origins: frozenset[str]
    secure: bool

    @classmethod
    def of(cls, host: str, port: int, url: str | None) -> "Origins":
        """Take the address that is bound and the URL that raters use where a proxy stands before it."""
        names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
        hosts = {f"{name}:{port}" for name in names} | (names if port == 80 else set())
        origins = {f"http://{name}" for name in hosts}
        if url:
            parts = urlsplit(url)
            hosts.add(parts.netloc)
            origins.add(f"{parts.scheme}://{parts.netloc}")
        return cls(frozenset(hosts), frozenset(origins), bool(url and url.startswith("https:")))


class Guard:
    """The outermost layer: refuses before anything is read or looked up, and adds headers to every answer."""

    def __init__(self, app: ASGIApp, origins: Origins, limit: int = BODY_LIMIT):
        """Stand before `app`; `limit` is the most bytes of a body."""
        self._limit = limit
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request and hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        headers = dict(scope["headers"])
        refusal = self._refusal(scope["method"], headers)
        if refusal == 413:
            await _too_large(receive, send)
            return
        if refusal:
            await PlainTextResponse(REASONS[refusal], refusal)(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, _bounded(receive, self._limit), watched)
        except _TooLarge:
            if not started:
                await _too_large(receive, send)

    def _refusal(self, method: str, headers: dict[bytes, bytes]) -> int | None:
        if headers.get(b"host", b"").decode("latin-1").lower() not in self._origins.hosts:
            return 400
        if method in SAFE_METHODS:
            return None
        if method != "POST":
            return 405
        site = headers.get(b"sec-fetch-site", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if site not in ("", "same-origin") or (origin and origin not in self._origins.origins):
            return 403
        if not site and not origin:
            return 403
        length = headers.get(b"content-length", b"0")
        if not (length.isascii() and length.isdigit()) or int(length) > self._limit:
            return 413
        return None


async def _too_large(receive: Receive, send: Send) -> None:
    """Answer at once. What still comes is thrown away, up to a point, or else the answer is not read."""
    text = REASONS[413].encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": text, "more_body": True})
    thrown, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(THROWN_S):
            while more and thrown < THROWN:
                message = await receive()
                thrown += len(message.get("body", b""))
                more = message.get("more_body", False)
    await send({"type": "http.response.body", "body": b""})


def _bounded(receive: Receive, limit: int) -> Receive:
    """Bodies without a length, too, end at the limit."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise _TooLarge
        return message

    return bounded


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append(_NO_STORE)
            message = {**message, "headers": headers + _RAW_HEADERS}
        await send(message)

    return headed


def form_token(secret: str) -> str:
    """Return the token that forms of the session with this cookie carry."""
    return hmac.new(secret.encode(), b"forms of this session", hashlib.sha256).hexdigest()


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form; the last of those with one name counts.

    Raises:
        Denied: not a form in UTF-8, or too many fields.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Denied(400, "not_a_form")
    try:
        async with asyncio.timeout(FORM_S):
            body = (await request.body()).decode("ascii")
        fields = parse_qsl(body, keep_blank_values=True, max_num_fields=FIELDS_LIMIT, errors="strict")
    except (ValueError, TimeoutError):  # UnicodeDecodeError is a ValueError
        raise Denied(400, "not_a_form") from None
    return dict(fields)


def check_form(form: dict[str, str], secret: str) -> None:
    """Raise Denied unless the form was made for the session with this cookie."""
    if not hmac.compare_digest(form.get("csrf", "").encode(), form_token(secret).encode()):
        raise Denied(403, "old_form")


def set_cookie(
    response: Response, name: str, value: str, secure: bool, days: int | None = COOKIE_DAYS
) -> None:
    """Set a cookie that scripts and other sites never see; without `days` it ends with the browser."""
    options: dict[str, Any] = {"httponly": True, "samesite": "strict", "secure": secure, "path": "/"}
    response.set_cookie(name, value, max_age=days * 86400 if days else None, **options)
