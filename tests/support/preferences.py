"""Contexts, responses and refinements to make pairs of, and the stage that makes them."""

from pathlib import Path

from selfevolve.preferences.pairs import PairParams
from selfevolve.records.jsonl import natural_key, read_records, write_records
from selfevolve.records.schema import Context, Message, Preference, Refinement, Response, Understanding
from stages import pair

CONTEXT = Context(
    id="d1#3", messages=[Message(role="user", content="I am sad.")], golden="What made you sad?"
)


UNDERSTANDING = Understanding(user_profile="p", user_emotion="e", user_personality="q", user_intention="i")


def refined(text: str | None, identity: str = "d1#3") -> Refinement:
    if text is None:
        return Refinement(id=identity, attempts=3, status="failed", raw=["x", "y", "z"])
    return Refinement(
        id=identity,
        understanding=UNDERSTANDING,
        evaluation_score=3.0,
        feedback="f",
        refined_response=text,
        attempts=1,
        status="parsed",
    )


def direct(text: str, identity: str = "d1#3", finish_reason: str = "stop") -> Response:
    return Response(id=identity, text=text, finish_reason=finish_reason, attempt=1, model="m")


def write_own(folder: Path, sizes: list[int]) -> None:
    """Dialogues with so many contexts each; every text begins with the id of the context it is of."""
    ids = [f"d{d:02d}#{2 * n + 1}" for d, size in enumerate(sizes) for n in range(size)]
    contexts = [CONTEXT.model_copy(update={"id": i, "golden": f"{i} golden"}) for i in ids]
    rejected = [direct(f"{i} direct", i) for i in ids]
    write_records(folder / "contexts.jsonl", contexts)
    write_records(folder / "rejected.jsonl", rejected)
    write_records(folder / "refined.jsonl", [refined(f"{i} refined, and longer", i) for i in ids])


def pairs_made_in(folder: Path, params: Path, *more: str) -> list[Preference]:
    """Run the stage on the folder's contexts and direct responses; return all pairs by id."""
    arguments = ["--contexts", folder / "contexts.jsonl", "--rejected", folder / "rejected.jsonl", *more]
    arguments += ["--out", folder / "out", "--metrics", folder / "m.json", "--params", params]
    pair.main([str(argument) for argument in arguments])
    parts = [read_records(folder / "out" / f"{name}.jsonl", Preference) for name in ("train", "valid")]
    return sorted(parts[0] + parts[1], key=lambda made: natural_key(made.id))


def sides(pairs: list[Preference]) -> list[tuple[str, str]]:
    return [(made.chosen.value, made.rejected.value) for made in pairs]


PARAMS = PairParams(
    seed=1,
    too_long="golden",
    max_length_ratio=2.0,
    length_against=["rejected"],
    supported_by=None,
    unsupported="golden",
    least_support=0.3,
    valid_share=0.1,
)
