"""Dialogues that show two models side by side, each picked by a rule that is said beside it."""

from pathlib import Path

from selfevolve.records.jsonl import natural_key, read_records
from selfevolve.records.schema import Context, Response
from selfevolve.report.described import report
from selfevolve.report.document import Block, Dialogue, Text
from selfevolve.report.reading import Run

FIRST = "m0"
PICKED = 4
SHOWN = 4  # messages
SPEAKERS = {"user": "seeker", "assistant": "supporter"}


def sample_blocks(run: Run) -> list[Block]:
    """Return the dialogue of sample.json and a few more, M0's answers beside the last model's."""
    last = run.setting("headline")
    return [_telling(run, last), *_even(run, last)]


def _telling(run: Run, last: str) -> Block:
    sample = run.json("sample.json")
    if not sample.there:
        sentence = f"a dialogue that shows a difference: not run ({sample.file} is not there)."
        return Text.of(run.says(sentence))
    counts = f"The rule fits {sample.said('matching')} of {sample.said('contexts')} contexts."
    if "id" not in sample.value:
        reason = sample.value.get("reason") or sample.value.get("rule") or "no rule is said"
        return Text.of(run.says(f"no dialogue picked by its rule. {counts} {reason}"))
    turns = [turn(one.said("role"), one.said("content", "")) for one in sample.objects("messages")]
    answers = ((FIRST, "first"), (last, "last"), ("the human", "golden"))
    own = sample.items("own")
    named = f" {last} names: {', '.join(map(str, own))}." if own else ""
    return Dialogue(
        f"{sample.said('id')}{run.behind}",
        tuple(turns),
        tuple((name, sample.said(key, "")) for name, key in answers),
        f"Picked as {sample.said('rule')}. {counts}{named}",
    )


def _even(run: Run, last: str) -> list[Block]:
    if run.commit is not None:
        return [Text.of(run.says("further dialogues: not available, a revision holds no data."))]
    paths = [f"data/{model}/responses.jsonl" for model in (FIRST, last)] + ["data/contexts/test.jsonl"]
    if missing := [path for path in paths if not run.has(path)]:
        return [Text.of(run.says(f"further dialogues: not run ({', '.join(missing)} is not there)."))]
    before, after = ({one.id: one.text for one in read_records(Path(path), Response)} for path in paths[:2])
    contexts = {one.id: one for one in read_records(Path(paths[2]), Context)}
    common = sorted(before.keys() & after.keys() & contexts.keys(), key=natural_key)
    middles = [(2 * part + 1) * len(common) // (2 * PICKED) for part in range(PICKED) if common]
    rule = report()["samples"].format(picked=PICKED)
    blocks: list[Block] = [Text.of(run.says(f"{rule} {len(common)} contexts are in all of the files."))]
    for identity in dict.fromkeys(common[at] for at in middles):
        context = contexts[identity]
        turns = tuple(turn(message.role, message.content) for message in context.messages[-SHOWN:])
        answers = ((FIRST, before[identity]), (last, after[identity]), ("the human", context.golden))
        blocks.append(Dialogue(f"{identity}{run.behind}", turns, answers))
    return blocks


def turn(role: str, content: str) -> tuple[str, str]:
    """Return a message as it is shown: its speaker, and what he or she says."""
    return SPEAKERS.get(role, role), content
