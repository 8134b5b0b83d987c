"""Measure whether one can tell whose response it is, by a policy in place of an encoder.

    python -m stages.analyses.personalisation_likelihood --policy models/backbone --responses R.jsonl ...

The second instrument of selfevolve/metrics/personalisation.py. A response is near to a seeker if the policy,
the backbone, finds it likely after the seeker's last turns, compared with how likely it finds it after a
greeting: the difference of the means over the response's tokens, in nats. Where the two instruments disagree,
neither says much. Section `personalisation` of the parameters: whom a response is compared with, and
`likelihood_words`, how much of a seeker is read.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from selfevolve.generation.generate import SCRATCH
from selfevolve.generation.journal import AppendOnly
from selfevolve.metrics.line_ups import PersonalisationParams, Said, line_up
from selfevolve.metrics.personalisation import (
    Question,
    chance,
    read_answered,
    seeker_turns,
    summarize,
    tell_apart,
)
from selfevolve.policies.likelihood import mean_log_probability
from selfevolve.policies.policy import LoadedPolicy, load_policy
from selfevolve.policies.window import ChatTemplate
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Dialogue, Finite, Message, NonEmpty, Record
from selfevolve.records.texts import is_blank
from selfevolve.runtime.command import run
from selfevolve.runtime.digests import digest_value
from selfevolve.runtime.errors import Unavailable
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params

GREETING = "Hello."


class Likelihood(Record):
    """How likely a text is after a prompt: the mean log-probability of its tokens, in nats."""

    id: NonEmpty
    nats: Finite


class Likelihoods(AppendOnly[Likelihood]):
    """Those that are known, by the digest of prompt and text; each is on disk before the next is computed."""

    def __init__(self, path: Path, loaded: LoadedPolicy, system: str):
        """Name the file, the policy and the system message of its prompts; `with` opens the file."""
        super().__init__(path, Likelihood)
        self.known: dict[str, float] = {}
        self._model, self._system = loaded.model, system
        self._template = ChatTemplate(loaded.tokenizer, loaded.template)

    def of(self, said: str, text: str) -> float:
        """Return how likely the text is as the answer to what a seeker said."""
        identity = digest_value([self._system, said, text])
        if identity not in self.known:
            roles = (("system", self._system), ("user", said))
            messages = [Message(role=role, content=content) for role, content in roles]
            nats = mean_log_probability(self._model, self._template, messages, text)
            self.append([Likelihood(id=identity, nats=nats)])
        return self.known[identity]

    def _remember(self, entry: Likelihood) -> None:
        self.known[entry.id] = entry.nats


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, measure, and write the scores and their summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True, help="who says how likely a response is")
    parser.add_argument("--responses", type=Path, required=True, help="Response records")
    parser.add_argument("--dialogues", type=Path, required=True, help="what their contexts were cut from")
    parser.add_argument("--out", type=Path, required=True, help="the summary (JSON)")
    parser.add_argument("--details", type=Path, required=True, help="the scores of each response (JSONL)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("personalisation", PersonalisationParams, args.params)
    texts, dialogues = read_answered(args.responses, args.dialogues)
    try:
        line_ups = line_up(texts, dialogues, params)
    except Unavailable as absence:
        write_records(args.details, [])
        absent = dict.fromkeys(chance(1), str(absence))
        publish_json(args.out, {"responses": len(texts), "not_available": absent})
        return
    system = load_prompts(load_params("prompts", args.params)["dir"]).text("task")
    loaded = load_policy(args.policy)
    journal = SCRATCH / "personalisation_likelihood" / f"{loaded.digest[:16]}.jsonl"

    with Likelihoods(journal, loaded, system) as likelihoods:

        def nearness(questions: Sequence[Question]) -> list[float]:
            return [
                near(likelihoods, dialogues, question, params.likelihood_words)
                for question in tqdm(questions, "likelihood", disable=None)
            ]

        scores = tell_apart(texts, line_ups, nearness)
    write_records(args.details, scores)
    publish_json(args.out, {**summarize(scores, line_ups), "responses": len(scores)})


def near(
    likelihoods: Likelihoods, dialogues: Mapping[str, Dialogue], question: Question, most_words: int
) -> float:
    """Return how much likelier a text is after what a seeker said than after a greeting, in nats a token.

    A text without a word is equally near to all.
    """
    if is_blank(question.text):
        return 0.0
    said = last_words(dialogues[question.seeker.dialogue], question.seeker, most_words)
    return likelihoods.of(said, question.text) - likelihoods.of(GREETING, question.text)


def last_words(dialogue: Dialogue, said: Said, most: int) -> str:
    """Return the last of the seeker's turns, a line each, that have no more words together; one at least."""
    chosen: list[str] = []
    for turn in reversed(seeker_turns(dialogue)[: said.turns]):
        if chosen and len(" ".join([*chosen, turn]).split()) > most:
            break
        chosen.append(turn)
    return "\n".join(reversed(chosen))


if __name__ == "__main__":
    run(main)
