"""BERTScore with the real encoder that comes with the installation."""

import pytest

from selfevolve.metrics import semantic
from selfevolve.runtime.errors import InputError

RESPONSES = ["I am so sorry to hear that.", "", "ok", "Have you talked to a friend about your job?", "\u200b"]
REFERENCES = ["I am so sorry to hear that.", "Hello", "I lost my job last week and feel lost.", "ok", "Hi"]


@pytest.fixture(scope="session")
def minilm():
    return semantic.find_encoder("minilm")


def test_bertscore_is_that_of_bert_score_with_one_pair_a_batch(minilm):
    from bert_score import BERTScorer

    scores = semantic.bert_scores(RESPONSES, REFERENCES, minilm)
    assert scores.f1[0] == pytest.approx(100, abs=1e-3)
    assert (scores.f1[1], scores.f1[4]) == (0, 0)  # nothing, and a text without a token
    assert (minilm.num_layers, scores.truncated) == (6, 0)
    oracle = BERTScorer(model_type=str(minilm.folder), num_layers=6, device="cpu")
    expected = [oracle.score([RESPONSES[i]], [REFERENCES[i]])[2].item() * 100 for i in (0, 2, 3)]
    assert [scores.f1[i] for i in (0, 2, 3)] == pytest.approx(expected, abs=1e-3)


def test_bertscore_of_a_pair_does_not_depend_on_its_batch(minilm):
    alone = [
        semantic.bert_scores([response], [reference], minilm).f1[0]
        for response, reference in zip(RESPONSES, REFERENCES, strict=True)
    ]
    for size in (1, 2, 64):
        together = semantic.bert_scores(RESPONSES[::-1], REFERENCES[::-1], minilm, batch_size=size)
        assert together.f1[::-1] == pytest.approx(alone, abs=1e-3)


def test_texts_longer_than_the_window_are_cut_and_counted(minilm):
    scores = semantic.bert_scores(["so sad " * 400, "ok"], ["so tired " * 400, "ok"], minilm)
    assert scores.truncated == 2
    assert 0 < scores.f1[0] < 100


@pytest.mark.parametrize(
    ("name", "layers", "field"),
    [("./nowhere", None, "encoder"), ("not a name!", None, "encoder"), ("minilm", 7, "num_layers")],
)
def test_an_encoder_that_was_named_wrongly_is_an_input_error(name, layers, field):
    with pytest.raises(InputError, match=field):
        semantic.find_encoder(name, layers)


def test_a_folder_without_a_model_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="holds no model"):
        semantic.find_encoder(str(tmp_path))


def test_roberta_reads_the_first_word_as_a_word_within_a_text(tmp_path):
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator([" sad I am so sad"] * 9, vocab_size=300, special_tokens=special)
    tokenizer.save_model(str(tmp_path))
    transformers.RobertaTokenizer.from_pretrained(str(tmp_path)).save_pretrained(tmp_path)
    sizes = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = transformers.RobertaConfig(**sizes, intermediate_size=16, max_position_embeddings=34)
    transformers.RobertaModel(config).save_pretrained(tmp_path)
    encoder = semantic.find_encoder(str(tmp_path), 2)
    reader = semantic.Reader(encoder)
    assert reader._ids("sad")[1:-1] == reader._ids("I sad")[2:-1]
    assert len(reader._ids("sad " * 99)) == 32  # RoBERTa keeps two of its positions for padding
    assert len(reader.model.encoder.layer) == 2
    assert semantic.bert_scores(["I am so sad"], ["I am so sad"], encoder).f1[0] == pytest.approx(
        100, abs=1e-3
    )
