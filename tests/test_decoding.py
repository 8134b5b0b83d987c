"""The decoding loop: the same tokens as `model.generate` one by one, whatever runs beside them."""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.engines.batches import plan
from stages.engines.request import Request, Sampling
from stages.engines.sharing import WORTH, Order, shared_prefix
from stages.records.errors import InputError
from stages.records.schema import Message
from tests.conftest import SYSTEM, TEXTS, stage_environment

SAMPLING = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=20)
SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "mistral-window": {"sliding_window": 24},
    "qwen2": {},
    "qwen2-mixed": {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1},
}
PROMPTS = [[5, 6, 7, 8, 9, *range(20 + 3 * n, 24 + 13 * n)] for n in range(12)]
LONG = [5, 6, 7, 8, 9, *(60 + n * n % 211 for n in range(75))]
DIALOGUES = [
    *(LONG[:n] for n in (80, 66, 55, 31, 24)),  # the contexts of a dialogue begin with each other
    [*LONG[:40], *range(200, 212)],  # or part from each other
    *(PROMPTS[11][:n] for n in (90, 60, 25)),
    PROMPTS[2],
]


def model(kind: str) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(3)
    config = AutoConfig.for_model(kind.split("-")[0], **SIZES, **KINDS[kind])
    made = AutoModelForCausalLM.from_config(config).eval()
    for name, value in made.named_parameters():
        if name.endswith("bias"):  # they are made of zeros
            torch.nn.init.normal_(value, std=0.5)
    return made


def generated(made: Any, prompt: Sequence[int], seed: int, sampling: Sampling, stop: list[int]) -> list[int]:
    """What plain `model.generate` writes of one prompt alone."""
    import torch
    from transformers import GenerationConfig

    from stages.engines.sampler import SeededSampler

    ids = torch.tensor([prompt])
    config = GenerationConfig(
        do_sample=False, max_new_tokens=sampling.max_new_tokens, eos_token_id=stop, pad_token_id=0
    )
    sampler = SeededSampler(sampling, [seed], ids, torch.ones_like(ids), SIZES["vocab_size"])
    output = made.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        generation_config=config,
        logits_processor=[sampler],
    )
    return output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", [1.0, 1.2])
def test_tokens_are_those_of_generate_one_by_one(kind: str, penalty: float, monkeypatch: pytest.MonkeyPatch):
    from stages.engines import attention
    from stages.engines.decoding import Decoder, Work

    monkeypatch.setattr(attention, "BLOCK", 16)  # so that these prompts are read in several
    made, stop = model(kind), list(range(0, 300, 15))
    sampling = SAMPLING.model_copy(update={"repetition_penalty": penalty, "top_k": 20, "top_p": 0.95})
    expected = [generated(made, prompt, n, sampling, stop) for n, prompt in enumerate(PROMPTS)]
    assert len({len(row) for row in expected}) > 1  # some stop early
    for rows, prefix in ((1, 0), (4, 5), (5, 0), (12, 3)):
        written: list[list[int]] = [[] for _ in PROMPTS]
        work = Work(PROMPTS, range(len(PROMPTS)), prefix, sampling)
        for numbered in Decoder(made, stop).write(work, rows):
            assert len(numbered) <= rows
            for number, token in numbered:
                written[number].append(token)
        assert written == expected
    assert made.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("kind", KINDS)
def test_what_prompts_share_is_read_once_and_their_tokens_stay_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    from stages.engines.decoding import Decoder, Work

    made, stop = model(kind), list(range(0, 300, 15))
    sampling = SAMPLING.model_copy(update={"top_k": 20, "top_p": 0.95})
    expected = [generated(made, prompt, n, sampling, stop) for n, prompt in enumerate(DIALOGUES)]
    read: list[int] = []
    plain = Decoder.read

    def counted(self: Any, cache: Any, prompts: Any, first: int, starts: Sequence[int]) -> Any:
        read.extend(len(prompt) - start for prompt, start in zip(prompts, starts, strict=True))
        return plain(self, cache, prompts, first, starts)

    monkeypatch.setattr(Decoder, "read", counted)
    for rows in (1, 3, 7, 10):
        read.clear()
        written: list[list[int]] = [[] for _ in DIALOGUES]
        for numbered in Decoder(made, stop).write(Work(DIALOGUES, range(len(DIALOGUES)), 5, sampling), rows):
            assert len(numbered) <= rows
            for number, token in numbered:
                written[number].append(token)
        assert written == expected
        assert len(read) == 1 + len(DIALOGUES)
    read.clear()
    assert list(Decoder(made, []).write(Work(DIALOGUES, range(len(DIALOGUES)), 5, sampling), 10))  # none ends
    # the prefix; two dialogues; what parts from one; what stands alone; six shorter contexts
    assert sorted(read) == sorted([5, 75, 85, 12, len(PROMPTS[2]) - 5, 1, 1, 1, 1, 1, 1])


def test_the_nearest_prompt_is_the_one_that_shares_most():
    def nearest(number: int, among: Iterable[int], prefix: int = 5) -> tuple[int, int] | None:
        return Order(DIALOGUES, prefix).some(among).nearest(number)

    others = set(range(len(DIALOGUES)))
    assert nearest(1, others - {1}) == (0, 65)  # of 66 tokens the last is its own
    assert nearest(1, {2, 3}) == (2, 54)
    assert nearest(5, {0, 4}) == (0, 40)
    assert nearest(4, {5}) == (5, 23)
    assert nearest(4, {6}) is None
    assert nearest(9, others - {9}) is None  # nine tokens in common are not worth it
    assert nearest(4, {0}, prefix=7) == (0, 23)
    assert nearest(4, {0}, prefix=8) is None


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=40), min_size=2, max_size=9), st.data())
def test_what_is_shared_is_shared_and_nobody_shares_more(prompts: list[list[int]], data: st.DataObject):
    among = data.draw(st.sets(st.integers(1, len(prompts) - 1), min_size=1))
    longer = [[*prompt[:-1], *[7] * 20, prompt[-1]] for prompt in prompts]
    for asked in (prompts, [prompts[0], *longer[1:]]):
        mine = asked[0]
        shared = {
            n: sum(mine[:k] == asked[n][:k] for k in range(1, min(len(mine), len(asked[n])))) for n in among
        }
        near = Order(asked, 0).some(among).nearest(0)
        if near is None:
            assert max(shared.values()) < WORTH
        else:
            assert shared[near[0]] == near[1] == max(shared.values()) >= WORTH


def test_prompts_that_are_all_the_same_are_read_in_one_go_even_if_the_first_has_ended():
    from stages.engines.decoding import Decoder, Work

    prompts = [LONG[:60]] * 40 + [LONG[:50]] * 40
    decoder = Decoder(model("llama"), [])
    sampling = SAMPLING.model_copy(update={"max_new_tokens": 1})
    passes = [len(numbered) for numbered in decoder.write(Work(prompts, range(80), 5, sampling), 80)]
    assert passes == [1, 79]


def test_layers_that_cannot_be_run_are_named():
    from stages.engines.decoding import Decoder

    made = model("qwen2")
    made.config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(InputError, match="kind linear_attention cannot be run"):
        Decoder(made, [7])


def test_a_prefix_ends_where_the_first_prompt_departs_and_leaves_each_a_token():
    assert shared_prefix([[1, 2, 3, 4], [1, 2, 3, 5]], [1, 2, 9]) == 2
    assert shared_prefix([[1, 2, 3, 4], [1, 7, 3, 4]], [1, 2, 3]) == 1
    assert shared_prefix([[1, 2]], [1, 2, 3]) == 1
    assert shared_prefix([[1]], [1]) == 0


def requests(count: int) -> list[Request]:
    system = Message(role="system", content=SYSTEM)
    texts = [TEXTS[n % 4][: 15 + 2 * n] for n in range(count)]
    return [
        Request.make(f"r{n:02d}", [system, Message(role="user", content=t)], 5) for n, t in enumerate(texts)
    ]


def test_the_plan_has_every_request_once_whatever_the_order_it_comes_in():
    asked = [
        replace(request, messages=(Message(role="user", content=chr(200 + n)),))  # that share nothing
        for n, request in enumerate(requests(30))
    ]
    lengths = {request.id: 10 + n % 7 for n, request in enumerate(asked)}
    batches = plan(asked, lengths, 20, 100)
    assert sorted(request.id for batch in batches for request in batch) == [r.id for r in asked]
    assert plan(asked[::-1], lengths, 20, 100) == batches
    longest = [lengths[batch[0].id] for batch in batches]
    assert longest == sorted(longest, reverse=True)
    assert len(batches) > 3


def test_contexts_of_a_dialogue_stand_together_with_the_longest_first():
    turns = ["I lost my work.", "When was that?", "Last week, in a meeting.", "And since?", "I sleep badly."]
    others = ["My sister does not call.", "Does she not?", "No, not since May.", "Why?", "I do not know."]

    def asked(name: str, said: list[str]) -> list[Request]:
        roles = ("user", "assistant")
        told = [Message(role=roles[n % 2], content=text) for n, text in enumerate(said)]
        system = Message(role="system", content=SYSTEM)
        return [Request.make(f"{name}#{n}", [system, *told[:n]], 5) for n in (1, 3, 5)]

    made = [*asked("a", turns), *asked("b", others), *asked("c", ["Hello"] * 5)]
    elsewhere = [
        replace(made[0], id="d", messages=(Message(role="system", content="."), made[0].messages[1]))
    ]
    lengths = {r.id: sum(len(m.content) for m in r.messages) for r in (*made, *elsewhere)}
    ids = [r.id for batch in plan([*made, *elsewhere], lengths, 20, 4000) for r in batch]
    assert ids == ["a#5", "a#3", "a#1", "b#5", "b#3", "b#1", "c#5", "c#3", "c#1", "d"]


@pytest.fixture(scope="module")
def loaded(backbone: Path) -> Any:
    from stages.engines.policy import load_policy

    return load_policy(backbone)


def test_an_answer_is_the_same_to_the_byte_whatever_was_answered_before(loaded: Any):
    from stages.engines.transformers_engine import TransformersEngine

    asked = requests(24)
    engine = TransformersEngine(loaded, 400)
    batches = engine.batches(asked, SAMPLING)
    assert len(batches) > 2
    answers = [engine.answer(batch, SAMPLING) for batch in batches]
    for batch, answer in reversed(list(zip(batches, answers, strict=True))):
        assert TransformersEngine(loaded, 400).answer(batch, SAMPLING) == answer
    skipped = {response.id for response in answers[1]}
    assert list(engine.complete(asked, SAMPLING, skipped)) == [answers[0], *answers[2:]]


def test_a_stream_is_the_text_in_whole_characters_and_can_be_closed(loaded: Any):
    from stages.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(loaded, 10_000)
    sampling = SAMPLING.model_copy(update={"max_new_tokens": 120})
    pieces_made = 0
    for request in requests(4):
        pieces = list(engine.stream(request, sampling))
        assert all(pieces)
        assert "".join(pieces) == engine.answer([request], sampling)[0].text
        pieces_made += len(pieces)
    assert pieces_made > 20
    passes: list[int] = []
    forward = engine._decoder.forward
    engine._decoder.forward = lambda *given: passes.append(1) or forward(*given)
    stream = engine.stream(requests(1)[0], sampling)
    next(stream)
    made = len(passes)
    stream.close()
    assert list(stream) == []
    assert len(passes) == made < 60


def test_no_piece_of_a_stream_ends_within_a_character(loaded: Any):
    from stages.engines.template import ChatTemplate
    from stages.engines.transformers_engine import Pieces

    template = ChatTemplate(loaded.tokenizer, loaded.template)
    text = "so 😀 und  ä\n\n漢字 \ufffd end"
    pieces = Pieces(template)
    given = [pieces.add(token) for token in template.tokenizer.encode(text + " ", add_special_tokens=False)]
    assert "" in given  # half a character, or a space, is held back
    assert "".join([*given, pieces.rest()]) == text
    assert all(text.startswith("".join(given[:n])) for n in range(len(given)))


SCARCE = """
import resource, sys
import torch
from pathlib import Path
from stages.engines.policy import load_policy
from stages.engines.transformers_engine import TransformersEngine
from stages.records.errors import InputError
from tests.test_decoding import SAMPLING, requests
torch.set_num_threads(1)
loaded = load_policy(Path(sys.argv[1]))
asked = requests(16)
expected = TransformersEngine(loaded, 100_000).answer(asked, SAMPLING)
engine = TransformersEngine(loaded, 100_000)
head = loaded.model.lm_head
read, each = head.forward, 1 << 28
def hungry(hidden):  # a pass of more than so many rows needs more than there is
    torch.empty(len(hidden) * each, dtype=torch.uint8)
    return read(hidden)
head.forward = hungry
def limit(rows):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + rows * each + each // 2, resource.RLIM_INFINITY))
limit(5)
answers = engine.answer(asked, SAMPLING)
print(engine.halvings, [a.text for a in answers] == [e.text for e in expected])
limit(0)
try:
    engine.answer(asked, SAMPLING)
except InputError as error:
    print(error)
"""


def test_when_memory_runs_out_fewer_rows_run_until_one_alone_does_not_fit(backbone: Path):
    done = subprocess.run(
        [sys.executable, "-c", SCARCE, backbone],
        env=stage_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.splitlines() == [
        "2 True",
        "record r00: memory does not suffice for this request alone",
    ], done.stderr
    assert done.stderr.count("memory does not suffice") == 1
