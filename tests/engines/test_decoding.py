"""The decoding loop: the same tokens as `model.generate` one by one, whatever runs beside them."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfevolve.engines.local.batches import plan
from selfevolve.generation.request import Request, Sampling, complete
from selfevolve.records.schema import Message
from selfevolve.runtime.errors import InputError
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
    from transformers import GenerationConfig, RepetitionPenaltyLogitsProcessor

    from bench.baselines import SeededSampler

    ids = torch.tensor([prompt])
    config = GenerationConfig(
        do_sample=False, max_new_tokens=sampling.max_new_tokens, eos_token_id=stop, pad_token_id=0
    )
    penalty = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)
    unpenalised = sampling.model_copy(update={"repetition_penalty": 1.0})
    sampler = SeededSampler(unpenalised, [seed], [prompt], ids.device)
    output = made.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        generation_config=config,
        logits_processor=[penalty, sampler],
    )
    return output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("penalty", "packed"), [(1.0, True), (1.2, True), (1.2, False)])
def test_tokens_are_those_of_generate_one_by_one(
    kind: str, penalty: float, packed: bool, monkeypatch: pytest.MonkeyPatch
):
    from selfevolve.engines.local import attention, packed_linear
    from selfevolve.engines.local.decoder import Decoder, Work

    monkeypatch.setattr(attention, "BLOCK", 16)  # so that these prompts are read in several
    if packed:  # layers as small as these, too
        monkeypatch.setattr(packed_linear, "LEAST", 1)
    made, stop = model(kind), list(range(0, 300, 15))
    sampling = SAMPLING.model_copy(update={"repetition_penalty": penalty, "top_k": 20, "top_p": 0.95})
    expected = [generated(made, prompt, n, sampling, stop) for n, prompt in enumerate(PROMPTS)]
    assert len({len(row) for row in expected}) > 1  # some stop early
    decoder = Decoder(made, stop)
    linear = sum(type(module).__name__ == "Linear" for module in made.modules())
    assert (linear == 0) == packed
    # one decoder: each run has the memory of the one before
    for rows, prefix in ((12, 3), (4, 5), (1, 0), (5, 0), (12, 5), (12, 5)):
        written: list[list[int]] = [[] for _ in PROMPTS]
        work = Work(PROMPTS, range(len(PROMPTS)), prefix, sampling)
        for numbered in decoder.write(work, rows):
            assert len(numbered) <= rows
            for number, token in numbered:
                written[number].append(token)
        assert written == expected


def test_memory_is_used_again_but_not_by_two_runs_at_a_time():
    from selfevolve.engines.local.decoder import Decoder, Work

    made = model("llama")
    long = Work(PROMPTS, range(12), 5, SAMPLING)
    shifted = [[100 + token for token in prompt] for prompt in PROMPTS]
    works = [
        (long, 4),
        (replace(long, prompts=shifted), 4),
        (replace(long, prompts=PROMPTS[:5], seeds=range(5)), 5),
        (replace(long, prompts=PROMPTS[:3], seeds=range(3), prefix=0), 2),
        (long, 4),
    ]
    alone = [list(Decoder(made, [7]).write(*work)) for work in works]
    decoder, places = Decoder(made, [7]), set()
    for work, expected in zip(works, alone, strict=True):
        assert list(decoder.write(*work)) == expected
        assert decoder._spare is not None
        places.add(decoder._spare.stored[0][0].data_ptr())
    assert len(places) == 1

    one, other = decoder.write(*works[0]), decoder.write(*works[1])
    turns = [(next(one, None), next(other, None)) for _ in range(max(len(alone[0]), len(alone[1])) + 1)]
    assert [turn for turn, _ in turns if turn] == alone[0]
    assert [turn for _, turn in turns if turn] == alone[1]


def test_layers_that_cannot_be_run_are_named():
    from selfevolve.engines.local.decoder import Decoder

    made = model("qwen2")
    made.config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(InputError, match="kind linear_attention cannot be run"):
        Decoder(made, [7])


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


@pytest.fixture(scope="module")
def loaded(backbone: Path) -> Any:
    from selfevolve.policies.policy import load_policy

    return load_policy(backbone)


def test_an_answer_is_the_same_to_the_byte_whatever_was_answered_before(loaded: Any):
    from selfevolve.engines.local.engine import TransformersEngine

    asked = requests(24)
    engine = TransformersEngine(loaded, 400)
    batches = engine.plan(asked, SAMPLING)
    assert len(batches) > 2
    answers = list(engine.answer(batches, SAMPLING))
    for batch, answer in reversed(list(zip(batches, answers, strict=True))):
        assert next(TransformersEngine(loaded, 400).answer([batch], SAMPLING)) == answer
    skipped = {response.id for response in answers[1]}
    assert list(complete(engine, asked, SAMPLING, skipped)) == [answers[0], *answers[2:]]


def test_a_stream_is_the_text_in_whole_characters_and_can_be_closed(loaded: Any):
    from selfevolve.engines.local.engine import TransformersEngine

    engine = TransformersEngine(loaded, 10_000)
    sampling = SAMPLING.model_copy(update={"max_new_tokens": 120})
    pieces_made = 0
    for request in requests(4):
        pieces = list(engine.stream(request, sampling))
        assert all(pieces)
        assert "".join(pieces) == next(engine.answer([[request]], sampling))[0].text
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
    from selfevolve.engines.local.engine import pieces_of
    from selfevolve.policies.window import ChatTemplate

    template = ChatTemplate(loaded.tokenizer, loaded.template)
    text = "so 😀 und  ä\n\n漢字 \ufffd end"
    tokens = template.tokenizer.encode(text + " ", add_special_tokens=False)
    given = list(pieces_of(tokens, template))
    assert len(given) < len(tokens)  # half a character, or a space, is held back
    assert "".join(given) == text
    assert all(text.startswith("".join(given[:n])) for n in range(len(given)))


SCARCE = """
import resource, sys
import torch
from pathlib import Path
from selfevolve.policies.policy import load_policy
from selfevolve.engines.local.engine import TransformersEngine
from selfevolve.runtime.errors import InputError
from tests.engines.test_decoding import SAMPLING, requests
torch.set_num_threads(1)
loaded = load_policy(Path(sys.argv[1]))
asked = requests(16)
expected = next(TransformersEngine(loaded, 100_000).answer([asked], SAMPLING))
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
answers = next(engine.answer([asked], SAMPLING))
print(engine.halvings, [a.text for a in answers] == [e.text for e in expected])
limit(0)
try:
    next(engine.answer([asked], SAMPLING))
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
