"""The overlap items: fixed contexts with every model's response, drawn with the study's seed."""

from pathlib import Path
from typing import Any

from pydantic import Field

from stages.human_eval.assignment import seeded
from stages.human_eval.study import Overlap, Study
from stages.records.errors import InputError
from stages.records.jsonl import read_records
from stages.records.schema import Context, Message, NonEmpty, Record, Response


class FixedItem(Record):
    """One line of a study's own file of items: a dialogue, and what each model answers to its end."""

    id: NonEmpty = Field(max_length=200)
    messages: list[Message] = Field(min_length=1)
    responses: dict[str, str]


def read_items(study: Study) -> list[dict[str, Any]]:
    """Return the study's overlap items in their seeded order, as rows of the table; none without overlap.

    Raises:
        InputError: a file cannot be read, a context lacks a model's response, or there are too few.
    """
    overlap = study.overlap
    if overlap is None:
        return []
    found = _of_file(study, overlap.file) if overlap.file else _of_pipeline(study, overlap)
    drawn = sorted(found, key=lambda identity: seeded(study.seed, "items", identity))[: overlap.contexts]
    file = overlap.file or overlap.contexts_file
    if len(drawn) < overlap.contexts:
        message = f"has {len(drawn)} contexts, and overlap.contexts asks for {overlap.contexts}"
        raise InputError(message, file=file)
    units = len(drawn) * len(study.conditions)
    if overlap.per_rater > units:
        message = f"a rater cannot see {overlap.per_rater} different answers, there are {units}"
        raise InputError(message, file=file, field="overlap.per_rater")
    return [
        {"id": one.id, "place": place, "messages": _plain(one), "responses": one.responses}
        for place, one in enumerate(found[identity] for identity in drawn)
    ]


def _of_file(study: Study, path: str) -> dict[str, FixedItem]:
    items = {item.id: item for item in read_records(path, FixedItem)}
    for item in items.values():
        if missing := [model for model in study.models if model not in item.responses]:
            message = f"has no response of {missing[0]}"
            raise InputError(message, file=path, record=item.id, field="responses")
    return {
        name: item.model_copy(update={"responses": {m: item.responses[m] for m in study.models}})
        for name, item in items.items()
    }


def _of_pipeline(study: Study, overlap: Overlap) -> dict[str, FixedItem]:
    contexts = read_records(Path(overlap.contexts_file), Context)
    responses: dict[str, dict[str, str]] = {}
    for model in study.models:
        path = Path(overlap.responses_file.replace("{model}", model))
        texts = {response.id: response.text for response in read_records(path, Response)}
        for context in contexts:
            if context.id not in texts:
                raise InputError("has no response to this context", file=path, record=context.id, field="id")
            responses.setdefault(context.id, {})[model] = texts[context.id]
    return {c.id: FixedItem(id=c.id, messages=c.messages, responses=responses[c.id]) for c in contexts}


def _plain(item: FixedItem) -> list[dict[str, str]]:
    return [message.model_dump() for message in item.messages if message.role != "system"]
