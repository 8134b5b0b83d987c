"""Let people rate models: `python -m stages.human_eval_serve --study studies/pointwise.yaml`.

Opens the study's database, loads the models, and serves the raters' and the operator's pages until Ctrl-C.
On the first start it makes the study's raters and prints their links, once. The operator's pages need
HUMAN_EVAL_PASSWORD_HASH in the environment (`python -m stages.human_eval_password` makes it).
`--rehearse` takes models that only pretend, to look at a study before there are any; overlap items,
which need responses of real ones, are left out.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stages.command import load_params, read_params, run
from stages.human_eval import raters, store
from stages.human_eval.answers import Answers, Speak
from stages.human_eval.passwords import VARIABLE, Operator
from stages.human_eval.rehearsal import DIGEST, pretend
from stages.human_eval.security import Origins
from stages.human_eval.serving import LOOPBACK, bind, serve
from stages.human_eval.site import Pace, Site
from stages.human_eval.study import Study, read_study
from stages.records.errors import InputError
from stages.records.schema import Message
from stages.respond import RespondParams

MODELS = Path("models")
RATINGS = Path("ratings")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, open the store, load the models, serve."""
    args = _arguments(argv)
    study = read_study(args.study, args.models or None)
    if args.rehearse:  # there may be no responses that could be rated
        study = study.model_copy(update={"overlap": None})
    else:
        _check_models(study.models)
    hashed = os.environ.get(VARIABLE)
    operator = Operator(hashed) if hashed else None
    listener = bind(args.host, args.port)
    port = listener.getsockname()[1]
    with ExitStack() as stack:
        opened = store.open_store(args.database or _database(study, args.rehearse), study)
        stack.callback(opened.close)
        if args.rehearse:
            models, digests = _pretenders(study, args.rehearse)
        else:
            models, digests = _load(study, args.params, stack)
        with opened.writing() as db:
            store.note_models(db, digests)
        site = Site(
            store=opened,
            answers=Answers(opened, models, args.timeout),
            origins=Origins.of(args.host, port, args.url),
            operator=operator,
            url=args.url.rstrip("/") if args.url else None,
            pace=Pace(min(0.8, 10 / args.words_a_second), args.words_a_second),
        )
        listener.listen(256)  # whoever opens a link now is answered in a moment
        shown = f"[{args.host}]" if ":" in args.host else args.host
        _announce(site, f"http://{shown}:{port}", args.host)
        serve(site, listener)
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


def _database(study: Study, rehearse: float | None) -> str:
    RATINGS.mkdir(exist_ok=True)
    return str(RATINGS / f"{study.name}{'-rehearsal' if rehearse else ''}.sqlite")


def _check_models(names: Sequence[str]) -> None:
    for name in names:
        if not (MODELS / name / "policy.json").is_file():
            raise InputError("there is no such model: `make m2` makes m0, m1 and m2", file=MODELS / name)


def _pretenders(study: Study, seconds: float) -> tuple[dict[str, Speak], dict[str, str]]:
    models = {name: pretend(name, seconds) for name in study.models}
    return models, dict.fromkeys(study.models, DIGEST)


def _load(study: Study, params: Path, stack: ExitStack) -> tuple[dict[str, Speak], dict[str, str]]:
    """Return the models of a study, ready to speak, and their digests; they end with the stack."""
    models: dict[str, Speak] = {}
    digests: dict[str, str] = {}
    for name in study.models:
        print(f"loading {MODELS / name}", file=sys.stderr, flush=True)
        models[name], digests[name] = stack.enter_context(speaking(MODELS / name, study.prompt, params))
    return models, digests


@contextmanager
def speaking(folder: Path, prompt: str, params: Path) -> Iterator[tuple[Speak, str]]:
    """Give a policy that answers as in the pipeline, asked with the prompt of that name, and its digest.

    Raises:
        InputError: the policy, the prompts or the parameters cannot be read.
    """
    from stages.engines.load import open_engine
    from stages.engines.policy import read_policy
    from stages.engines.request import Request
    from stages.engines.window import drop_oldest
    from stages.prompts.requests import response_messages
    from stages.prompts.templates import load_prompts

    sampling = read_params("respond", RespondParams, params).sampling
    prompts = load_prompts(load_params("prompts", params)["dir"])
    policy = read_policy(folder)
    budget = policy.backbone.window - sampling.max_new_tokens

    def build(messages: Sequence[Message]) -> list[Message]:
        return response_messages(prompts, prompt, list(messages))

    with open_engine(load_params("engine", params), folder) as (engine, template):

        def speak(messages: Sequence[Message], seed: int) -> Iterator[str]:
            left, _ = drop_oldest(list(messages), build, template, budget)
            request = Request("answer", tuple(build(left or messages[-1:])), seed)
            if hasattr(engine, "stream"):
                return engine.stream(request, sampling)
            return (batch[0].text for batch in engine.complete([request], sampling, ()))  # in one piece

        yield speak, policy.digest


def _announce(site: Site, address: str, host: str) -> None:
    """Say where the pages are; on the first start make the raters and their links."""
    study, base = site.study, site.url or address
    print(f"study {study.name}: {study.mode}, {', '.join(study.models)}")
    if host not in LOOPBACK:
        print("warning: this server can be reached from other machines, without encryption of its own:")
        print("         put a proxy with https before it and name it with URL=https://...")
    if site.operator:
        print(f"operator {base}/operator")
    else:
        print(f"no operator's pages: {VARIABLE} is not set (python -m stages.human_eval_password)")
    with site.store.writing() as db:
        made = [] if raters.raters(db) else raters.invite(db, study, study.raters)
    if made:
        print("the raters' links, shown only now:")
    for invitation in made:
        print(f"{invitation.name} {base}/r/{invitation.token}")
    print(f"serving on {address}, Ctrl-C stops", flush=True)


if __name__ == "__main__":
    run(main)
