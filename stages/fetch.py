"""Fetch one upstream file at its pinned commit, verify it, publish it.

The commit and git's blob id of the file stand in params.yaml, so what arrives is what was pinned or
an error. Work in progress lies in `.scratch/fetch/<name>/<blob>/` and is continued by the next run.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stages.command import load_params, run
from stages.records.errors import InputError
from stages.records.publish import publishing

NO_PUBLIC_LOCATION = (
    "no public location of this file is known (ServeForEmo: arXiv 2412.08389, ask its authors); "
    "give your own copy with SET=data.{name}=PATH, or run without it: SET=data.{name}=data/empty.jsonl"
)

DEFAULTS = {
    "base_url": "https://raw.githubusercontent.com",
    "timeout_s": 30,
    "retries": 4,
    "backoff_s": 1.0,
    "max_mb": 500,
}


def fetch(name: str, out: Path, params: dict[str, Any], scratch: Path) -> None:
    """Publish upstream file `name` at `out`, verified against its blob id before anything uses it.

    `params` is the section `fetch` (over DEFAULTS): base_url, timeout_s and backoff_s (seconds),
    retries, max_mb (of the download and of what is unpacked) and files {name: {repository, commit,
    path, blob and optionally member, the file inside a zip archive}}.

    Raises:
        InputError: an unknown name, a file without a public location, a refusing or failing server, a
            digest other than the pinned one (the partial file is removed), or a bad archive.
    """
    params = {**DEFAULTS, **params}
    spec = _spec(name, params)
    from stages.upstream.archive import extract_member
    from stages.upstream.download import download, git_blob_id

    max_bytes = int(params["max_mb"] * 1e6)
    partial = scratch / "fetch" / name / spec["blob"] / "partial"
    parts = [params["base_url"].rstrip("/"), spec["repository"], spec["commit"], quote(spec["path"])]
    url = "/".join(parts)
    # a process killed between the last byte and the publication leaves a whole file: no request is needed
    if not partial.exists() or git_blob_id(partial) != spec["blob"]:
        download(
            url,
            partial,
            max_bytes=max_bytes,
            timeout_s=params["timeout_s"],
            retries=params["retries"],
            backoff_s=params["backoff_s"],
        )
    found = git_blob_id(partial)
    if found != spec["blob"]:
        shutil.rmtree(partial.parent)
        raise InputError(f"wrong content: git blob id {found}, expected {spec['blob']}", file=url)
    with publishing(out) as temporary:
        if spec.get("member"):
            extract_member(partial, spec["member"], temporary, max_bytes=max_bytes)
        else:
            shutil.copyfile(partial, temporary)
    shutil.rmtree(partial.parent)


def _spec(name: str, params: dict[str, Any]) -> dict[str, str]:
    files = params.get("files") or {}
    if name not in files:
        raise InputError(f"unknown; known are {', '.join(sorted(files))}", field=f"fetch.files.{name}")
    spec = files[name] or {}
    if not spec.get("repository"):
        raise InputError(NO_PUBLIC_LOCATION.format(name=name), record=name)
    for field in ("commit", "path", "blob"):
        if not isinstance(spec.get(field), str):
            # an unquoted blob id such as 1234e5 is a number to YAML
            raise InputError("missing or not a string", field=f"fetch.files.{name}.{field}")
    return spec


def main() -> None:
    """Parse the arguments and fetch."""
    parser = argparse.ArgumentParser(prog="python -m stages.fetch", description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="a key of fetch.files in the parameters")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--scratch", type=Path, default=Path(".scratch"), help="where partial files lie")
    args = parser.parse_args()
    fetch(args.name, args.out, load_params("fetch", args.params), args.scratch)
    print(f"fetch: {args.name} -> {args.out}, verified")


if __name__ == "__main__":
    run(main)
