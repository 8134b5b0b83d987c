"""Dialogues that show two models side by side, each picked by a rule that is said beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.records.errors import InputError
from stages.records.jsonl import natural_key, read_records
from stages.records.schema import Context, Response
from stages.reporting.document import Block, Dialogue, Text
from stages.reporting.files import WorkingTree
from stages.reporting.reading import Run, mapping

FIRST = "m0"
PICKED = 4
SHOWN = 4  # messages
SPEAKERS = {"user": "seeker", "assistant": "supporter"}
RULE = (
    f"{PICKED} contexts at even distances in the order of ids, whatever the models answered: the middles of "
    f"{PICKED} equal parts of the test contexts that both models have answered."
)


def sample_blocks(run: Run) -> list[Block]:
    """Return the dialogue of sample.json and a few more, M0's answers beside the last model's."""
    last = str(run.setting("headline"))
    return [*_telling(run, last), *_even(run, last)]


def _telling(run: Run, last: str) -> list[Block]:
    document = run.json("sample.json")
    where = run.where(run.metrics_path("sample.json"))
    if document is None:
        return [Text.of(run.says(f"a dialogue that shows a difference: not run ({where} is not there)."))]
    counts = f"The rule fits {document.get('matching')} of {document.get('contexts')} contexts."
    if "id" not in document:
        reason = document.get("reason") or document.get("rule") or "no rule is said"
        return [Text.of(run.says(f"no dialogue picked by its rule. {counts} {reason}"))]
    messages = document.get("messages")
    if not isinstance(messages, list):
        raise InputError("is not a list", file=where, field="messages")
    turns = tuple(_turn(mapping(message, file=where)) for message in messages)
    answers = tuple(
        (name, str(document.get(key, "")))
        for name, key in ((FIRST, "first"), (last, "last"), ("the human", "golden"))
    )
    own = document.get("own")
    named = f" {last} names: {', '.join(map(str, own))}." if isinstance(own, list) and own else ""
    note = f"Picked as {document.get('rule')}. {counts}{named}"
    return [Dialogue(f"{document['id']}{run.behind}", turns, answers, note)]


def _even(run: Run, last: str) -> list[Block]:
    if not isinstance(run.files, WorkingTree):
        return [Text.of(run.says("further dialogues: not available, a revision holds no data."))]
    data = Path(run.layout.data)
    paths = [
        data / FIRST / "responses.jsonl",
        data / last / "responses.jsonl",
        data / "contexts" / "test.jsonl",
    ]
    if missing := [path.as_posix() for path in paths if not path.is_file()]:
        return [Text.of(run.says(f"further dialogues: not run ({', '.join(missing)} is not there)."))]
    before, after = ({one.id: one.text for one in read_records(path, Response)} for path in paths[:2])
    contexts = {one.id: one for one in read_records(paths[2], Context)}
    common = sorted(before.keys() & after.keys() & contexts.keys(), key=natural_key)
    picked = dict.fromkeys(
        common[(2 * part + 1) * len(common) // (2 * PICKED)] for part in range(PICKED) if common
    )
    blocks: list[Block] = [Text.of(run.says(f"{RULE} {len(common)} contexts are in all of the files."))]
    for identity in picked:
        context = contexts[identity]
        messages = [message.model_dump() for message in context.messages[-SHOWN:]]
        answers = ((FIRST, before[identity]), (last, after[identity]), ("the human", context.golden))
        blocks.append(Dialogue(f"{identity}{run.behind}", tuple(map(_turn, messages)), answers))
    return blocks


def _turn(message: Mapping[str, Any]) -> tuple[str, str]:
    role = str(message.get("role"))
    return SPEAKERS.get(role, role), str(message.get("content", ""))
