"""Which requests are answered together, and what their prompts share."""

from collections.abc import Mapping, Sequence

from stages.engines.request import Request

TURNS = 2  # a batch holds so many times the rows that run at once: those that end early are replaced


def plan(
    requests: Sequence[Request], lengths: Mapping[str, int], new_tokens: int, batch_tokens: int
) -> list[list[Request]]:
    """Cut the requests into batches of similar length: the longest first, equals in the order of their ids.

    Args:
        requests: what is asked.
        lengths: id to the tokens of the prompt.
        new_tokens: the most that may be written of each.
        batch_tokens: bounds rows x (longest prompt + new tokens) of what runs at once; at least one row.
    """
    batches: list[list[Request]] = []
    room = 0
    for request in sorted(requests, key=lambda request: (-lengths[request.id], request.id)):
        if not room:
            batches.append([])
            room = TURNS * rows_at_once(lengths[request.id] + new_tokens, batch_tokens)
        batches[-1].append(request)
        room -= 1
    return batches


def rows_at_once(width: int, batch_tokens: int) -> int:
    """Return how many rows of so many tokens run at once: one, where not even that is within the budget."""
    return max(1, batch_tokens // width)


def shared_prefix(prompts: Sequence[Sequence[int]], opening: Sequence[int]) -> int:
    """Return how many tokens all prompts begin with, as far as they are those of `opening`.

    What prompts share by chance, such as the first word of two dialogues, is left out by an opening that
    ends before it: the prefix is then the same for most batches, and is computed once for all of them.
    Every prompt keeps a token of its own, whose logits the first new token is drawn from.
    """
    shared = min(len(opening), *(len(prompt) - 1 for prompt in prompts))
    for prompt in prompts:
        while prompt[:shared] != opening[:shared]:
            shared = next(at for at in range(shared) if prompt[at] != opening[at])
    return shared
