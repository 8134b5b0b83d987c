"""Pages are made here: templates that escape whatever is put into them, and the files that come with them."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from stages.human_eval.words import spoken, words

HERE = Path(__file__).parent
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True)
class File:
    """A file of `static/`, in memory; `url` changes with its content."""

    content: bytes
    kind: str
    url: str


def read_files() -> dict[str, File]:
    """Return the files of `static/` by name. Only what is in this mapping can be asked for."""
    files = {}
    for path in sorted((HERE / "static").iterdir()):
        content = path.read_bytes()
        version = hashlib.sha256(content).hexdigest()[:12]
        files[path.name] = File(content, TYPES[path.suffix], f"/static/{path.name}?v={version}")
    return files


class Pages:
    """All templates, compiled once."""

    def __init__(self) -> None:
        """Read the templates and the static files."""
        self.files = read_files()
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals |= {
            "file": lambda name: self.files[name].url,
            "language_name": lambda code: words(code).language_name if code in spoken() else code,
            "moment": moment,
            "nonce": lambda: secrets.token_urlsafe(12),
        }

    def page(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page made of the template `<name>.html`."""
        return HTMLResponse(self._environment.get_template(f"{name}.html").render(values), status)

    def static(self, request: Request, name: str) -> Response | None:
        """Return a static file, or None if there is none of that name."""
        file = self.files.get(name)
        if file is None:
            return None
        headers = {"cache-control": f"public, max-age={YEAR_S}, immutable"}
        return Response(file.content, media_type=file.kind, headers=headers)


def moment(seconds: float | None) -> str:
    """Return a time since the epoch to the minute, in UTC, or a dash."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) if seconds is not None else "–"
