"""Which requests are answered together: those of a dialogue, and else those of similar length."""

from collections.abc import Iterator, Mapping, Sequence

from selfevolve.generation.request import Request

TURNS = 2  # a batch holds so many times the rows that run at once: those that end early are replaced


def plan(
    requests: Sequence[Request], lengths: Mapping[str, int], new_tokens: int, batch_tokens: int
) -> list[list[Request]]:
    """Cut the requests into batches: the longest first, each followed by those that begin as it does.

    Contexts of one dialogue stand together, so that what they share can be read once (see `prefix_index`);
    the dialogues are of similar length. Equals are in the order of their ids.

    Args:
        requests: what is asked.
        lengths: id to the tokens of the prompt.
        new_tokens: the most that may be written of each.
        batch_tokens: bounds rows x (longest prompt + new tokens) of what runs at once; at least one row.
    """
    groups = [sorted(group, key=lambda r: (-lengths[r.id], r.id)) for group in dialogues(requests)]
    batches: list[list[Request]] = []
    room = 0
    for group in sorted(groups, key=lambda group: (-lengths[group[0].id], group[0].id)):
        for request in group:
            if not room:
                batches.append([])
                room = TURNS * rows_at_once(lengths[group[0].id] + new_tokens, batch_tokens)
            batches[-1].append(request)
            room -= 1
    return batches


def dialogues(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """Yield the requests in groups that begin alike: they share half of what the shorter one says, at least.

    What all requests of a stage are told, the system message, does not count, and has to be the same.
    """
    told = sorted(((*_parts(request), request.id, request) for request in requests), key=lambda one: one[:3])
    group: list[Request] = []
    for number, (system, said, _, request) in enumerate(told):
        if group:
            before, other = told[number - 1][:2]
            if before != system or not _alike("\0".join(other), "\0".join(said)):
                yield group
                group = []
        group.append(request)
    if group:
        yield group


def rows_at_once(width: int, batch_tokens: int) -> int:
    """Return how many rows of so many tokens run at once: one, where not even that is within the budget."""
    return max(1, batch_tokens // width)


def _parts(request: Request) -> tuple[list[str], list[str]]:
    """Return the system message, if there is one, and all else that is said."""
    system = [m.content for m in request.messages[:1] if m.role == "system"]
    return system, [m.content for m in request.messages[len(system) :]]


def _alike(one: str, other: str) -> bool:
    """Whether two texts begin alike for at least half of the shorter one."""
    half = (min(len(one), len(other)) + 1) // 2
    return one[:half] == other[:half]
