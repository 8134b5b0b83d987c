"""The two protocols in which every metric is reported, and what each was computed with.

`paper` is inferred from the paper's numbers (see the README); `standard` is what other work would compute.

| metric | paper | standard |
| --- | --- | --- |
| BLEU-n | mean of NLTK's sentence BLEU on jieba's tokens | sacreBLEU of the corpus, lower-cased |
| Distinct-n | mean over responses, jieba's tokens | of the corpus, Treebank words |
| ROUGE-L, METEOR, BERTScore | mean over responses | the same |

selfevolve.metrics.scripts says what the words of other scripts than Latin are, in all of them but BERTScore.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from selfevolve.metrics import text
from selfevolve.metrics.scripts import spaced
from selfevolve.metrics.semantic import bert_scores, find_encoder
from selfevolve.nltk_data.lookup import WORDNET, find
from selfevolve.records.jsonl import natural_key, read_records
from selfevolve.records.schema import Context, NonEmpty, Response, TextScores
from selfevolve.records.texts import Text, is_blank
from selfevolve.runtime.errors import InputError, Unavailable
from selfevolve.runtime.parameters import Params

SAME_IN_BOTH = ("rouge_l", "meteor", "bertscore")


class ScoreParams(Params):
    """Section `score` of the parameters; `encoder` as in selfevolve.metrics.semantic.find_encoder."""

    semantic: bool = True
    encoder: NonEmpty = "minilm"
    num_layers: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=1)


class Pair(BaseModel):
    """A response and its reference. `read_pairs` gives an id to a pair that has none."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    id: NonEmpty | None = None
    response: Text
    reference: NonEmpty


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a JSONL file; one without an id gets its place among the pairs, `pair#1` first."""
    pairs = [
        pair if pair.id is not None else pair.model_copy(update={"id": f"pair#{number}"})
        for number, pair in enumerate(read_records(path, Pair), start=1)
    ]
    return _checked(pairs, path)


def match_records(responses_file: Path, contexts_file: Path) -> list[Pair]:
    """Return every response with the golden response to its context, in the order of the ids.

    Both files must be of the same ids, at least one.
    """
    responses = {response.id: response for response in read_records(responses_file, Response)}
    contexts = {context.id: context for context in read_records(contexts_file, Context)}
    for missing in sorted(contexts.keys() - responses.keys(), key=natural_key):
        message = f"no response to this context of {contexts_file}"
        raise InputError(message, file=responses_file, record=missing)
    for missing in sorted(responses.keys() - contexts.keys(), key=natural_key):
        message = f"no context of this response of {responses_file}"
        raise InputError(message, file=contexts_file, record=missing)
    pairs = [
        Pair(id=identity, response=responses[identity].text, reference=contexts[identity].golden)
        for identity in sorted(responses, key=natural_key)
    ]
    return _checked(pairs, responses_file)


@dataclass
class Scores:
    """All scores of a list of responses, in percent.

    `per_response` holds the paper protocol's metrics, name -> one value a response; `standard` the values
    that the standard protocol computes otherwise; `not_available` metric -> reason, `standard.<metric>` where
    only the standard protocol lacks it.
    """

    per_response: dict[str, list[float]] = field(default_factory=dict)
    standard: dict[str, float] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    not_available: dict[str, str] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return what a metrics file holds: numbers by protocol, then counts, signatures and absences."""
        paper = {metric: text.mean(values) for metric, values in self.per_response.items()}
        return {
            "paper": paper,
            "standard": {
                metric: self.standard.get(metric, value)
                for metric, value in paper.items()
                if metric in SAME_IN_BOTH or metric in self.standard
            },
            **self.counts,
            "signatures": self.signatures,
            "not_available": self.not_available,
        }

    def records(self, ids: Sequence[str]) -> list[TextScores]:
        """Return each response's own scores as the record of its id."""
        rows = zip(*self.per_response.values(), strict=True)
        return [
            TextScores(id=identity, **dict(zip(self.per_response, row, strict=True)))
            for identity, row in zip(ids, rows, strict=True)
        ]


def score(pairs: Sequence[Pair], params: ScoreParams) -> Scores:
    """Score responses against references (at least one pair) in both protocols.

    What is not on this machine (WordNet, the encoder) is left out of the numbers and named with its reason.
    """
    responses, references = [pair.response for pair in pairs], [pair.reference for pair in pairs]
    scores = Scores()
    _count(scores, responses)
    _overlap(scores, responses, references)
    _meteor(scores, responses, references)
    _semantic(scores, responses, references, params)
    return scores


def _checked(pairs: list[Pair], path: Path) -> list[Pair]:
    if not pairs:
        raise InputError("holds nothing to score", file=path)
    return pairs


def _count(scores: Scores, responses: Sequence[str]) -> None:
    scores.counts = {
        "count": len(responses),
        "empty": sum(is_blank(response) for response in responses),
        "mean_words": text.mean([len(spaced(response).split()) for response in responses]),
    }


def _overlap(scores: Scores, responses: Sequence[str], references: Sequence[str]) -> None:
    bleu = list(map(text.bleu, responses, references))
    distinct = [text.distinct(response) for response in responses]
    scores.per_response |= text.named("bleu", text.BLEU_ORDERS, list(zip(*bleu, strict=True)))
    scores.per_response |= text.named("distinct", text.DISTINCT_ORDERS, list(zip(*distinct, strict=True)))
    scores.per_response["rouge_l"] = list(map(text.rouge_l, responses, references))
    corpus_bleu, sacrebleu_signature = text.corpus_bleu(responses, references)
    orders = text.bleu_orders(references)
    scores.standard |= text.named("bleu", orders, corpus_bleu)
    for order in text.BLEU_ORDERS[len(orders) :]:
        scores.not_available[f"standard.bleu_{order}"] = f"no reference has {order} words"
    scores.standard |= text.named("distinct", text.DISTINCT_ORDERS, text.corpus_distinct(responses))
    jieba, nltk = f"jieba:{version('jieba')}", f"nltk:{version('nltk')}"
    scores.signatures |= {
        "paper_bleu": f"{nltk}|sentence|smooth:method3|tok:{jieba}|mean",
        "paper_distinct": f"tok:{jieba}|response|mean",
        "standard_bleu": sacrebleu_signature,
        "standard_distinct": f"{nltk}|case:lc|tok:treebank|corpus",
        "rouge_l": f"rouge-score:{version('rouge-score')}|rougeL|f1|stem:no|mean",
        "other_scripts": "word:run of letters|without spaces:character|not in bertscore",
    }


def _meteor(scores: Scores, responses: Sequence[str], references: Sequence[str]) -> None:
    try:
        wordnet = find(WORDNET).reader
    except Unavailable as absence:
        scores.not_available["meteor"] = str(absence)
        return
    meteor = partial(text.meteor, wordnet=wordnet)
    scores.per_response["meteor"] = list(map(meteor, responses, references))
    scores.signatures["meteor"] = (
        f"nltk:{version('nltk')}|case:lc|tok:treebank|wordnet:{wordnet.get_version()}|mean"
    )


def _semantic(
    scores: Scores, responses: Sequence[str], references: Sequence[str], params: ScoreParams
) -> None:
    if not params.semantic:
        scores.not_available["bertscore"] = "switched off"
        return
    try:
        encoder = find_encoder(params.encoder, params.num_layers)
    except Unavailable as absence:
        scores.not_available["bertscore"] = str(absence)
        return
    semantic = bert_scores(responses, references, encoder, params.batch_size)
    scores.per_response["bertscore"] = semantic.f1
    scores.signatures["bertscore"] = encoder.signature
    scores.counts["truncated"] = semantic.truncated
