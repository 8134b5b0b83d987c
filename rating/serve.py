"""Let people rate models: `python -m rating.serve --study rating/studies/pointwise.yaml`.

Serves the raters' and the operator's pages until Ctrl-C. The first start makes the study's raters and prints
their links, once. The operator's pages need HUMAN_EVAL_PASSWORD_HASH (`python -m rating.password` makes it).
`--rehearse` uses models that only pretend, and leaves out overlap items, which need responses of real ones.
"""

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import uvicorn

from rating.app import raters, store
from rating.app.answers import Answers, Model, open_model, pretend_model
from rating.app.app import make_app
from rating.app.security import Origins
from rating.app.site import Pace, Site
from rating.app.study import Study, read_study
from rating.password import VARIABLE, Operator
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml

MODELS = Path("models")
RATINGS = Path("ratings")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Server(uvicorn.Server):
    """Ends by itself when it is told to: first the streams, which would else keep it, then everything."""

    def __init__(self, site: Site):
        settings = read_yaml(Path(__file__).with_name("server.yaml"))
        logging.getLogger("uvicorn.access").disabled = True  # whatever handlers a host program has
        super().__init__(uvicorn.Config(make_app(site), **settings))
        self._site = site

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at a signal; the second Ctrl-C does not wait for anybody."""
        self._site.answers.stopping.set()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, open the store, load the models, serve."""
    args = _arguments(argv)
    study = read_study(args.study, args.models or None)
    if args.rehearse:  # there may be no responses that could be rated
        study = study.model_copy(update={"overlap": None})
    else:
        for name in study.models:
            if not (MODELS / name / "policy.json").is_file():
                message = "there is no such model: `make m2` makes m0, m1 and m2"
                raise InputError(message, file=MODELS / name)
    hashed = os.environ.get(VARIABLE)
    operator = Operator(hashed) if hashed else None
    listener = _listen(args.host, args.port)
    port = listener.getsockname()[1]
    with ExitStack() as stack:
        default = RATINGS / f"{study.name}{'-rehearsal' if args.rehearse else ''}.sqlite"
        opened = store.open_store(args.database or str(default), study)
        stack.callback(opened.close)
        models = _load(study, args, stack)
        with opened.writing() as db:
            store.note_models(db, {name: digest for name, (_, digest) in models.items()})
        site = Site(
            store=opened,
            answers=Answers(opened, {name: model for name, (model, _) in models.items()}, args.timeout),
            origins=Origins.of(args.host, port, args.url),
            operator=operator,
            url=args.url.rstrip("/") if args.url else None,
            pace=Pace(min(0.8, 10 / args.words_a_second), args.words_a_second),
        )
        shown = f"[{args.host}]" if ":" in args.host else args.host
        _announce(site, f"http://{shown}:{port}", args.host)
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
        Server(site).run(sockets=[listener])
    print("stopped: the same command goes on where it was")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--models", nargs="*", help="folders in models/; default: those of the study")
    parser.add_argument("--database", help="a file or a URL; default: ratings/<study>.sqlite")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--url", help="under which raters reach this server through a proxy: https://...")
    parser.add_argument("--timeout", type=float, default=180.0, help="seconds an answer may take")
    parser.add_argument("--words-a-second", type=float, default=12.0, help="at which answers appear")
    parser.add_argument("--rehearse", type=float, nargs="?", const=1.0, metavar="SECONDS", help="no models")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    return parser.parse_args(argv)


def _listen(host: str, port: int) -> socket.socket:
    """Open the port before any model is loaded, so that it is known to be free; 0 chooses any."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}: choose another PORT") from None


def _load(study: Study, args: argparse.Namespace, stack: ExitStack) -> dict[str, tuple[Model, str]]:
    """Return the study's models with their digests, by name; they are closed with the stack."""
    if args.rehearse:
        return {name: (pretend_model(name, args.rehearse), "rehearsal") for name in study.models}
    loaded = {}
    for name in study.models:
        print(f"loading {MODELS / name}", file=sys.stderr, flush=True)
        loaded[name] = stack.enter_context(open_model(MODELS / name, study.prompt, args.params))
    return loaded


def _announce(site: Site, address: str, host: str) -> None:
    """Say where the pages are; on the first start make the raters and print their links."""
    study, base = site.study, site.url or address
    print(f"study {study.name}: {study.mode}, {', '.join(study.models)}")
    if host not in LOOPBACK:
        print("warning: this server can be reached from other machines, without encryption of its own:")
        print("         put a proxy with https before it and name it with URL=https://...")
    if site.operator:
        print(f"operator {base}/operator")
    else:
        print(f"no operator's pages: {VARIABLE} is not set (python -m rating.password)")
    with site.store.writing() as db:
        made = {} if raters.all_raters(db) else raters.invite(db, study.raters)
    if made:
        print("the raters' links, shown only now:")
    for name, token in made.items():
        print(f"{name} {base}/r/{token}")
    print(f"serving on {address}, Ctrl-C stops", flush=True)


if __name__ == "__main__":
    run(main)
