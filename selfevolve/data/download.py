"""Fetch an upstream file at its pinned commit: verified by Git's digest, published whole or not at all.

The corpora are files of a few megabytes: they are held in memory, and a download that breaks begins again.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import Field
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
from tqdm import tqdm

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publishing
from selfevolve.runtime.parameters import Params, validate

RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}
# What may pass, statuses of RETRIED_STATUS included; any other error of httpx is one of the request.
PASSING = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, httpx.HTTPStatusError)
LONGEST_WAIT_S = 60.0
NO_PUBLIC_LOCATION = (
    "no public location of this file is known (ServeForEmo: arXiv 2412.08389, ask its authors); "
    "give your own copy with SET=data.{name}=PATH, or run without it: SET=data.{name}=data/empty.jsonl"
)


class UpstreamFile(Params):
    """One entry of `fetch.files`: `blob` is Git's id of the file, `member` a file inside a zip archive."""

    repository: str
    commit: str
    path: str
    blob: str
    member: str | None = None


class FetchParams(Params):
    """Section `fetch` of params.yaml. `max_mb` limits the download, and what is unpacked of it."""

    base_url: str = "https://raw.githubusercontent.com"
    timeout_s: float = Field(30.0, gt=0)
    retries: int = Field(4, ge=0)
    backoff_s: float = Field(1.0, ge=0)
    max_mb: float = Field(500.0, gt=0)
    files: dict[str, dict[str, Any]]

    def file(self, name: str) -> UpstreamFile:
        """Return one of `files`; raise InputError if it is unknown, not public, or a field is missing."""
        if name not in self.files:
            known = ", ".join(sorted(self.files))
            raise InputError(f"unknown; known are {known}", field=f"fetch.files.{name}")
        if not self.files[name].get("repository"):
            raise InputError(NO_PUBLIC_LOCATION.format(name=name), record=name)
        return validate(UpstreamFile, self.files[name], section=f"fetch.files.{name}")


def fetch(name: str, out: Path, section: Mapping[str, Any]) -> None:
    """Publish upstream file `name` at `out`, verified against its blob id before anything uses it.

    Args:
        name: a key of `fetch.files`.
        out: the file to publish.
        section: `fetch` of params.yaml.

    Raises:
        InputError: the file is unknown, cannot be fetched, is too large or not the one that was pinned.
    """
    params = validate(FetchParams, section, section="fetch")
    file, limit = params.file(name), int(params.max_mb * 1e6)
    url = "/".join([params.base_url.rstrip("/"), file.repository, file.commit, quote(file.path)])
    content = _download(url, name, params, limit)
    if (found := git_blob_id(content)) != file.blob:
        raise InputError(f"wrong content: git blob id {found}, expected {file.blob}", file=url)
    if file.member:
        content = read_member(content, file.member, url, limit)
    with publishing(out) as temporary:
        temporary.write_bytes(content)


def git_blob_id(content: bytes) -> str:
    """Return Git's object id of a file's bytes: SHA-1 of `blob <size>`, a zero byte and the bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def read_member(content: bytes, member: str, url: str, max_bytes: int) -> bytes:
    """Return the file `member` of a zip archive, whatever folder of the archive it lies in.

    `member` is the full name in the archive or, if no entry has it, the name without folders; if that fits
    none either, the archive's single file with the same suffix is taken. `url` names the archive in errors.

    Raises:
        InputError: not a readable zip archive, no such member or several, or one that unpacks to more
            than `max_bytes` (zipfile unpacks no more than the size in the archive's index).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = _find(archive, member, url)
            if found.file_size > max_bytes:
                raise InputError(f"unpacks to more than {max_bytes} bytes", file=url, record=member)
            return archive.read(found)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # RuntimeError: zipfile's word for an encrypted member
        raise InputError(f"not a zip archive that can be read: {error}", file=url) from None


def _find(archive: zipfile.ZipFile, member: str, url: str) -> zipfile.ZipInfo:
    # __MACOSX holds resource forks under the same names.
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
    wanted = PurePosixPath(member)
    for matches in (
        [name for name in names if name == member],
        [name for name in names if PurePosixPath(name).name == wanted.name],
        [name for name in names if PurePosixPath(name).suffix.lower() == wanted.suffix.lower()],
    ):
        if len(matches) == 1:
            return archive.getinfo(matches[0])
        if matches:
            found = ", ".join(matches[:5])
            raise InputError(f"several files fit {member}: {found}", file=url, field="member")
    raise InputError(f"no file {member} in the archive", file=url, field="member")


def _download(url: str, name: str, params: FetchParams, limit: int) -> bytes:
    """Return what lies at `url`, at most `limit` bytes; `name` stands before the progress bar.

    What may pass is tried again up to `retries` times, after `backoff_s`, then twice that and so on.
    """
    tries = params.retries + 1
    retrying = Retrying(
        retry=retry_if_exception_type(PASSING),
        stop=stop_after_attempt(tries),
        wait=wait_exponential(params.backoff_s, max=LONGEST_WAIT_S),
        reraise=True,
    )
    try:
        return retrying(_read, url, name, params.timeout_s, limit)
    except PASSING as error:
        reason = f"{type(error).__name__}: {error}; run the same command to try again"
        raise InputError(f"not downloaded after {tries} tries: {reason}", file=url) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InputError(str(error), file=url) from None


def _read(url: str, name: str, timeout_s: float, limit: int) -> bytes:
    content = bytearray()
    # identity: the length that the server says is then that of the file
    headers = {"Accept-Encoding": "identity"}
    with httpx.stream("GET", url, headers=headers, timeout=timeout_s, follow_redirects=True) as response:
        if response.status_code in RETRIED_STATUS:
            again = f"HTTP {response.status_code}"
            raise httpx.HTTPStatusError(again, request=response.request, response=response)
        if response.status_code != httpx.codes.OK:
            raise InputError(f"HTTP {response.status_code} {response.reason_phrase}", file=url)
        total = int(response.headers.get("Content-Length", 0))
        if total > limit:
            raise InputError(f"{total} bytes, more than the limit of {limit}", file=url)
        with tqdm(total=total or None, unit="B", unit_scale=True, desc=name, disable=None) as bar:
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > limit:
                    raise InputError(f"more than the limit of {limit} bytes", file=url)
                bar.update(len(chunk))
    return bytes(content)
