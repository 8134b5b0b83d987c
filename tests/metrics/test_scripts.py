"""Texts in any script: equal ones never score 0, different ones differ, and Latin tokens stay as they are."""

import json
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nltk.tokenize.treebank import TreebankWordTokenizer
from rouge_score import tokenize
from sacrebleu.metrics import BLEU

from selfevolve.metrics import dialogues, protocols, text
from selfevolve.metrics.scripts import rouge_words, spaced
from selfevolve.nltk_data.lookup import WORDNET, find
from selfevolve.records.texts import is_blank
from tests.conftest import SHARED, run_here
from tests.metrics.test_score import write_lines

# Two sentences each: "I am sorry to hear that." and "How are you today?", or near it.
SENTENCES = {
    "Chinese": ("我很抱歉听到这个消息。", "你今天怎么样?"),
    "Japanese": ("それを聞いて残念です。", "今日はどうですか?"),
    "Korean": ("그 말을 들으니 유감입니다.", "오늘은 어떠세요?"),
    "Hebrew": ("אני מצטער לשמוע את זה.", "מה שלומך היום?"),
    "Arabic": ("أنا آسف لسماع ذلك.", "كيف حالك اليوم؟"),
    "Persian": ("از شنیدن این متأسفم می‌شوم.", "امروز حالت چطور است؟"),
    "Hindi": ("यह सुनकर मुझे दुख हुआ।", "आज आप कैसे हैं?"),
    "Thai": ("ฉันเสียใจที่ได้ยินเช่นนั้น", "วันนี้คุณเป็นอย่างไรบ้าง"),
    "Burmese": ("ကြားရတာ စိတ်မကောင်းပါဘူး။", "ဒီနေ့ နေကောင်းလား။"),
    "Khmer": ("ខ្ញុំសោកស្តាយដែលបានឮដូច្នេះ", "តើអ្នកសុខសប្បាយទេថ្ងៃនេះ"),
    "Russian": ("Мне жаль это слышать.", "Как дела сегодня?"),
    "Greek": ("Λυπάμαι που το ακούω.", "Πώς είσαι σήμερα;"),
    "Georgian": ("ვწუხვარ ამის გაგებას.", "როგორ ხარ დღეს?"),
    "emoji": ("😢💔🙏🏽", "😀🎉✨"),
    "both": ("我很抱歉, my friend, 听到这个.", "你好吗, how about 今天?"),
}
RELAXED = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="session")
def reader(wordnet_folder):
    return find(WORDNET, [wordnet_folder]).reader


@pytest.mark.parametrize("script", SENTENCES)
def test_equal_texts_score_the_most_and_different_ones_little(script: str, reader):
    one, other = SENTENCES[script]
    assert text.rouge_l(one, one) == pytest.approx(100)
    assert text.rouge_l(one, other) < 50
    assert text.bleu(one, one)[:2] == pytest.approx([100, 100])
    assert text.bleu(one, other)[1] < 40
    for score in text.corpus_bleu([one], [one])[0]:
        assert score == pytest.approx(100)
    assert text.corpus_bleu([one], [other])[0][0] < 50
    assert text.meteor(one, one, reader) >= 50  # one word is one chunk, of which METEOR takes half
    assert text.meteor(one, other, reader) < text.meteor(one, one, reader)


@pytest.mark.parametrize("script", [name for name in SENTENCES if name != "emoji"])
def test_a_text_that_shares_half_its_words_lies_between(script: str, reader):
    one, other = SENTENCES[script]
    both = f"{one} {other}"
    for metric in (text.rouge_l, lambda *pair: text.corpus_bleu([pair[0]], [pair[1]])[0][0]):
        assert metric(one, other) < metric(both, one) < 100
    assert text.meteor(one, other, reader) < text.meteor(both, one, reader)
    assert text.bleu(one, other)[1] < text.bleu(both, one)[1] < 100


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("我很 OK。", ["我", "很", "ok"]),
        ("カメラが、", ["カ", "メ", "ラ", "が"]),
        ("ฉันดี", ["ฉั", "น", "ดี"]),  # a mark stays with its letter
        ("שָׁלוֹם לך!", ["שָׁלוֹם", "לך"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("می‌شوم", ["می‌شوم"]),
        ("안녕하세요 친구", ["안녕하세요", "친구"]),
        ("β-Blocker, µ and 2²", ["β", "blocker", "and", "2"]),
        ("😢 ok", ["ok"]),
        ("😢😢", ["😢", "😢"]),
        ("é", ["é"]),
        ("…", ["…"]),
    ],
)
def test_words_of_rouge(said: str, words: list[str]):
    assert rouge_words(said) == words


def test_jieba_cuts_han_and_leaves_other_words_whole():
    assert text.jieba_pieces("我喜欢图书馆 OK") == ("我", "喜欢", "图书馆", " ", "OK")
    assert text.jieba_pieces("שלום לך, Anna") == ("שלום", " ", "לך", ",", " ", "Anna")
    assert text.jieba_pieces("안녕 café") == ("안녕", " ", "caf", "é")


def test_distinct_counts_words_and_not_letters_or_sentences():
    assert text.distinct("да да да")[0] == pytest.approx(100 * 2 / 5)  # the word and the space
    assert text.corpus_distinct(["好好好", "好的"])[0] == pytest.approx(100 * 2 / 5)
    assert text.corpus_distinct(["ดีดี"])[1] == pytest.approx(100)


# With full-width punctuation, as people type it on a keyboard that is set to Chinese.
LATIN = st.text(
    st.characters(max_codepoint=0x36F) | st.sampled_from("ế’“”…–—😢❤\ufe0f\u200d🏽①²Ⅳ™ﬁ\u20e3€→！，："),
    max_size=30,
)


@RELAXED
@given(said=LATIN)
@example(said="Hello！ How are you，my friend？")
@example(said="I'm sad 😢❤️… it’s “fine” – café, 1️⃣ donʼt cafe\u0301 naïve ½ x² №5 ™")
def test_tokens_of_texts_in_latin_letters_are_those_of_the_libraries(said: str):
    expected = tokenize.tokenize(said, None)
    assert rouge_words(said) == expected or not expected
    assert spaced(said) == said
    assert list(text.jieba_pieces(said)) == list(text._jieba().cut(said))
    assert list(text.treebank_words(said)) == TreebankWordTokenizer().tokenize(said.lower())


@pytest.mark.parametrize("name", ["esconv/ESConv.json", "extes/ExTES_recovered_11.json"])
def test_tokens_of_real_english_dialogues_are_those_of_the_libraries(name: str):
    file = SHARED / "data" / name
    if not file.is_file():
        pytest.skip("the shared data folder is not here")
    said = re.findall(r'"(?:content|AI|User)": *"((?:[^"\\]|\\.)*)"', file.read_text(encoding="utf-8"))
    assert len(said) > 200
    for one in {json.loads(f'"{part}"') for part in said}:
        expected = tokenize.tokenize(one, None)
        assert rouge_words(one) == expected or not expected, one
        assert spaced(one) == one
        assert text.parted(one) == [one]


ANY = st.text(max_size=12) | st.lists(
    st.sampled_from([word for pair in SENTENCES.values() for word in pair])
).map(" ".join)


@RELAXED
@given(said=ANY.filter(lambda said: not is_blank(said)))
@example(said="<skipped>")
@example(said="\u0e31")
@example(said="、")
def test_no_metric_of_equal_texts_is_0(reader, said: str):
    assert text.rouge_l(said, said) == pytest.approx(100)
    assert min(text.bleu(said, said)) > 0
    assert text.meteor(said, said, reader) > 0
    for score in text.corpus_bleu([said], [said])[0]:
        assert score == pytest.approx(100)


@RELAXED
@given(pairs=st.lists(st.tuples(ANY, ANY.filter(lambda said: not is_blank(said))), min_size=1, max_size=4))
def test_scores_of_dialogues_are_those_of_the_corpus_in_any_script(pairs: list[tuple[str, str]]):
    responses, references = zip(*pairs, strict=True)
    ids = [f"d{number}#1" for number in range(len(pairs))]
    found = dialogues.corpus_bleu(ids, responses, references)
    expected = text.named("bleu", text.bleu_orders(references), text.corpus_bleu(responses, references)[0])
    assert {name: score.value for name, score in found.items()} == pytest.approx(expected)


def test_sacrebleu_counts_the_words_that_the_orders_are_told_by():
    metric = BLEU(lowercase=True)
    for said in [*SENTENCES["Chinese"], "A-b, c. <skipped>"]:
        found = metric.sentence_score(spaced(said), [spaced(said)])
        assert len(text.bleu_orders([said])) == min(4, found.ref_len)


@pytest.mark.usefixtures("with_wordnet")
def test_the_stage_scores_any_script_and_says_what_is_not_available(tmp_path):
    pairs = [{"response": one, "reference": one} for one, _ in SENTENCES.values()]
    write_lines(tmp_path / "p.jsonl", *pairs)
    arguments = ["--pairs", "p.jsonl", "--out", "o.json", "--no-semantic", "--details", "d.jsonl"]
    done = run_here("score", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    scores = json.loads((tmp_path / "o.json").read_text())
    for protocol in ("paper", "standard"):
        assert min(scores[protocol].values()) > 0
        assert scores[protocol]["rouge_l"] == pytest.approx(100)
        assert scores[protocol]["bleu_1"] == pytest.approx(100)
    assert scores["mean_words"] > 5
    for line in (tmp_path / "d.jsonl").read_text().splitlines():
        assert json.loads(line)["rouge_l"] == pytest.approx(100)
    write_lines(tmp_path / "p.jsonl", {"response": "שלום לך", "reference": "שלום לך"})
    done = run_here("score", *arguments, cwd=tmp_path)
    scores = json.loads((tmp_path / "o.json").read_text())
    assert done.stdout.splitlines()[:2] == [
        "standard.bleu_3: not available (no reference has 3 words)",
        "standard.bleu_4: not available (no reference has 4 words)",
    ]
    assert scores["standard"].keys() == scores["paper"].keys() - {"bleu_3", "bleu_4"}
    assert min(scores["paper"].values()) > 0


def test_a_reference_that_shows_nothing_is_refused_and_such_a_response_counts_as_empty(tmp_path):
    write_lines(tmp_path / "p.jsonl", {"response": "a", "reference": "\u200b\ufeff"})
    done = run_here("score", "--pairs", "p.jsonl", "--out", "o.json", "--no-semantic", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "record line 1: field reference: shows nothing" in done.stderr
    both = (("\u2060", "\u00ada"), ("a b", "a b"))
    pairs = [protocols.Pair(response=said, reference=golden) for said, golden in both]
    summary = protocols.score(pairs, protocols.ScoreParams(semantic=False)).summary()
    assert (summary["empty"], summary["paper"]["bleu_1"]) == (1, pytest.approx(50))
