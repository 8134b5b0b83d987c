"""The two protocols in which every metric is reported, and what each was computed with.

`paper` is inferred from the paper's numbers (see the README); `standard` is what other work would compute.

| metric | paper | standard |
| --- | --- | --- |
| BLEU-n | mean of NLTK's sentence BLEU on jieba's tokens | sacreBLEU of the corpus, lower-cased |
| Distinct-n | mean over responses, jieba's tokens | of the corpus, Treebank words |
| ROUGE-L, METEOR, BERTScore | mean over responses | the same |
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any

from stages.scoring import text
from stages.scoring.semantic import EncoderUnavailable, bert_scores, find_encoder
from stages.scoring.wordnet import WordNetUnavailable, open_wordnet


@dataclass
class Scores:
    """All scores of a list of responses, in percent.

    `per_response` holds the paper protocol's metrics, name -> one value a response; `standard` the values
    that the standard protocol computes otherwise; `not_available` metric -> reason.
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
            "standard": {metric: self.standard.get(metric, value) for metric, value in paper.items()},
            **self.counts,
            "signatures": self.signatures,
            "not_available": self.not_available,
        }


def score(
    responses: Sequence[str],
    references: Sequence[str],
    *,
    encoder: str | None,
    num_layers: int | None = None,
    batch_size: int = 64,
) -> Scores:
    """Score responses against references (at least one pair) in both protocols.

    `encoder` as in stages.scoring.semantic.find_encoder, or None for no BERTScore. What is not on this
    machine (WordNet, the encoder) is left out of the numbers and named with its reason.
    """
    scores = Scores()
    _count(scores, responses)
    _overlap(scores, responses, references)
    _meteor(scores, responses, references)
    _semantic(scores, responses, references, encoder, num_layers, batch_size)
    return scores


def _count(scores: Scores, responses: Sequence[str]) -> None:
    scores.counts = {
        "count": len(responses),
        "empty": sum(text.is_blank(response) for response in responses),
        "mean_words": text.mean([len(response.split()) for response in responses]),
    }


def _overlap(scores: Scores, responses: Sequence[str], references: Sequence[str]) -> None:
    bleu = text.per_response(responses, references, text.bleu)
    distinct = [text.distinct(response) for response in responses]
    rouge_l = text.per_response(responses, references, text.rouge_l)
    scores.per_response |= text.named("bleu", text.BLEU_ORDERS, list(zip(*bleu, strict=True)))
    scores.per_response |= text.named("distinct", text.DISTINCT_ORDERS, list(zip(*distinct, strict=True)))
    scores.per_response["rouge_l"] = rouge_l
    corpus_bleu, sacrebleu_signature = text.corpus_bleu(responses, references)
    scores.standard |= text.named("bleu", text.BLEU_ORDERS, corpus_bleu)
    scores.standard |= text.named("distinct", text.DISTINCT_ORDERS, text.corpus_distinct(responses))
    jieba, nltk = f"jieba:{version('jieba')}", f"nltk:{version('nltk')}"
    scores.signatures |= {
        "paper_bleu": f"{nltk}|sentence|smooth:method3|tok:{jieba}|mean",
        "paper_distinct": f"tok:{jieba}|response|mean",
        "standard_bleu": sacrebleu_signature,
        "standard_distinct": f"{nltk}|case:lc|tok:treebank|corpus",
        "rouge_l": f"rouge-score:{version('rouge-score')}|rougeL|f1|stem:no|mean",
    }


def _meteor(scores: Scores, responses: Sequence[str], references: Sequence[str]) -> None:
    try:
        wordnet = open_wordnet()
    except WordNetUnavailable as absence:
        scores.not_available["meteor"] = str(absence)
        return
    meteor = partial(text.meteor, wordnet=wordnet.reader)
    scores.per_response["meteor"] = text.per_response(responses, references, meteor)
    scores.signatures["meteor"] = (
        f"nltk:{version('nltk')}|case:lc|tok:treebank|wordnet:{wordnet.version}|mean"
    )


def _semantic(
    scores: Scores,
    responses: Sequence[str],
    references: Sequence[str],
    name: str | None,
    num_layers: int | None,
    batch_size: int,
) -> None:
    if name is None:
        scores.not_available["bertscore"] = "switched off"
        return
    try:
        encoder = find_encoder(name, num_layers)
    except EncoderUnavailable as absence:
        scores.not_available["bertscore"] = str(absence)
        return
    semantic = bert_scores(responses, references, encoder, batch_size)
    scores.per_response["bertscore"] = semantic.f1
    scores.signatures["bertscore"] = encoder.signature
    scores.counts["truncated"] = semantic.truncated
