"""Making prompts fit the model's window without losing what matters.

LLaMA-Factory keeps the head of what is too long and so loses the last turns; here it is the oldest
exchanges that go, and they are counted.
"""

from collections.abc import Callable, Sequence

from stages.engines.template import ChatTemplate
from stages.records.schema import Message


def drop_oldest(
    messages: list[Message],
    build: Callable[[list[Message]], list[Message]],
    template: ChatTemplate,
    budget: int,
) -> tuple[list[Message] | None, int]:
    """Drop the oldest exchanges of a dialogue until the prompt made of it fits.

    Args:
        messages: user and assistant in turn, user first and last.
        build: makes the whole prompt of such a dialogue (adds the system message, or writes a transcript).
        template: counts the tokens.
        budget: the most tokens the prompt may have.

    Returns:
        the messages that are left and the number of exchanges dropped; None for the messages where not
        even the last user turn fits.
    """
    dropped = 0
    while len(template.encode(build(messages))) > budget:
        if len(messages) <= 1:
            return None, dropped
        messages = messages[2:]
        dropped += 1
    return messages, dropped


def split_conversation(
    messages: Sequence[Message], system: str, template: ChatTemplate, budget: int
) -> tuple[list[list[Message]], int]:
    """Cut a conversation into pieces that fit, so that every assistant turn is in exactly one of them.

    Args:
        messages: user and assistant in turn, user first and assistant last.
        system: the system message that every piece will carry.
        template: counts the tokens.
        budget: the most tokens of a piece, system message and answers included.

    Returns:
        the pieces, each beginning with a user turn, and the number of exchanges that do not fit alone.
    """
    pieces: list[list[Message]] = []
    piece: list[Message] = []
    lost = 0
    for first in range(0, len(messages), 2):
        exchange = list(messages[first : first + 2])
        if piece and _length(piece + exchange, system, template) <= budget:
            piece += exchange
            continue
        if piece:
            pieces.append(piece)
        fits = _length(exchange, system, template) <= budget
        lost += not fits
        piece = exchange if fits else []
    return [*pieces, piece] if piece else pieces, lost


def _length(messages: list[Message], system: str, template: ChatTemplate) -> int:
    head = [Message(role="system", content=system)] if system else []
    return len(template.encode([*head, *messages[:-1]], answer=messages[-1].content))
