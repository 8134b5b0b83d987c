"""Resumable download of one file over HTTP into a partial file, and git's digest of a file."""

import hashlib
import re
import sys
import time
from pathlib import Path

import httpx
import tenacity

from stages.records.errors import InputError

RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}
LONGEST_WAIT_S = 60.0
CHUNK_BYTES = 1 << 16
NOT_CONTINUABLE = -1


class TransientError(Exception):
    """The server or the connection failed in a way that may pass; `wait_s` is what the server asked for."""

    def __init__(self, message: str, wait_s: float = 0.0):
        super().__init__(message)
        self.wait_s = wait_s


def download(
    url: str, partial: Path, *, max_bytes: int, timeout_s: float, retries: int, backoff_s: float = 1.0
) -> None:
    """Append to `partial` what it still lacks of `url`, over as many connections as that takes.

    A partial file left by an earlier process is continued with an HTTP Range request; a server that
    ignores the range sends the whole file, which then replaces the partial one. Timeouts, dropped
    connections and the statuses in RETRIED_STATUS are tried again up to `retries` times, waiting
    `backoff_s`, then twice that and so on (seconds, at most LONGEST_WAIT_S; a larger Retry-After is
    respected up to that bound).

    Raises:
        InputError: the server refuses (404 and the like), the file is larger than `max_bytes`, or the
            tries are used up; then the partial file stays and the next call goes on from it.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)

    def wait(state: tenacity.RetryCallState) -> float:
        asked = getattr(state.outcome.exception(), "wait_s", 0.0)
        return min(max(asked, backoff_s * 2 ** (state.attempt_number - 1)), LONGEST_WAIT_S)

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_after_attempt(retries + 1),
        wait=wait,
        reraise=True,
    )
    # identity: byte ranges count the bytes as sent, so a compressed transfer could not be resumed
    headers = {"Accept-Encoding": "identity"}
    with httpx.Client(timeout=timeout_s, follow_redirects=True, headers=headers) as client:
        try:
            attempts(_continue, client, url, partial, max_bytes)
        except TransientError as error:
            raise InputError(
                f"not downloaded after {retries + 1} tries: {error}; run the same command to go on",
                file=url,
            ) from None


def git_blob_id(path: Path) -> str:
    """Return git's object id of the file's bytes: sha1 of `blob <size>`, a zero byte and the bytes."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _continue(client: httpx.Client, url: str, partial: Path, max_bytes: int) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        with client.stream("GET", url, headers=headers) as response:
            start = _start_of_body(response, url, have)
            _append(response, url, partial, start, max_bytes)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise InputError(f"not a URL that can be fetched: {error}", file=url) from None
    except httpx.TransportError as error:
        raise TransientError(f"{type(error).__name__}: {error}") from error
    except httpx.TooManyRedirects as error:
        raise InputError(str(error), file=url) from None


def _start_of_body(response: httpx.Response, url: str, have: int) -> int:
    """Return the offset in the file at which the body starts: `have`, 0, or NOT_CONTINUABLE."""
    status = response.status_code
    if status == 200:
        return 0
    if status == 206:
        match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if match and int(match[1]) == have:
            return have
        return NOT_CONTINUABLE
    if status == 416:  # the partial file is as long as the file or longer, and yet not the file
        return NOT_CONTINUABLE
    if status in RETRIED_STATUS:
        asked = response.headers.get("Retry-After", "")
        raise TransientError(f"HTTP {status}", float(asked) if asked.isdigit() else 0.0)
    raise InputError(f"HTTP {status} {response.reason_phrase}", file=url)


def _append(response: httpx.Response, url: str, partial: Path, start: int, max_bytes: int) -> None:
    if start == NOT_CONTINUABLE:
        partial.unlink(missing_ok=True)
        raise TransientError("the server could not continue the partial file; it was removed")
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else None
    if (total or 0) > max_bytes:
        raise InputError(f"{total} bytes, more than the limit of {max_bytes}", file=url)
    progress = _Progress(url.rsplit("/", 1)[-1], total)
    with partial.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        size = start
        for chunk in response.iter_raw(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise InputError(f"more than the limit of {max_bytes} bytes", file=url)
            file.write(chunk)
            progress.show(size)
    progress.end()


class _Progress:
    """One line on a terminal, rewritten at most five times a second; silent elsewhere."""

    def __init__(self, name: str, total: int | None):
        self.name, self.total = name, total
        self.active = sys.stderr.isatty()
        self.started = self.shown = time.monotonic()
        self.first: int | None = None

    def show(self, size: int) -> None:
        """Write how much is there, in MB, and at what rate since the first call."""
        now = time.monotonic()
        if not self.active or now - self.shown < 0.2:
            return
        self.first = size if self.first is None else self.first
        rate = (size - self.first) / max(now - self.started, 1e-9) / 1e6
        whole = f"/{self.total / 1e6:.1f}" if self.total else ""
        print(f"\r{self.name}  {size / 1e6:.1f}{whole} MB  {rate:.1f} MB/s ", end="", file=sys.stderr)
        self.shown = now

    def end(self) -> None:
        if self.active and self.first is not None:
            print(file=sys.stderr)
