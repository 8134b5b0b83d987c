"""The ledger writes down every call to a judge before it is made, and every answer when it is there.

A journal belongs to one list of requests. A ledger belongs to one server and model: whichever list a request
comes in, it is never sent again once it has an answer, since calls may cost money. The ledger also knows the
calls that got no answer, so limits hold over runs that were killed.
"""

from collections.abc import Callable, Sequence, Set
from contextlib import nullcontext
from functools import reduce
from pathlib import Path
from typing import Literal, NamedTuple

from selfevolve.generation.journal import AppendOnly, FailedAttempt
from selfevolve.generation.request import Engine, Request, Sampling
from selfevolve.records.schema import Message, NonEmpty, Record, Response
from selfevolve.runtime.digests import digest_value

MESSAGE_TOKENS = 64  # room for what a chat template adds to each message


class Entry(Record):
    """One line of the ledger. `tokens_in` and `tokens_out` are the most that a call sent can come to."""

    key: NonEmpty
    event: Literal["sent", "refused", "answered"]
    tokens_in: int = 0
    tokens_out: int = 0
    response: Response | None = None


class Spent(NamedTuple):
    """What calls came to. Refused calls cost nothing; calls that failed otherwise may have cost something.

    `prompt_tokens` and `completion_tokens` are the server's own counts; `measured` is the number of answers
    that have them. `most_in` and `most_out` are upper bounds for all calls that were not refused: the
    server's counts where there are any, else one token for each byte sent, and the longest answer allowed.
    """

    calls: int = 0
    refused: int = 0
    answers: int = 0
    measured: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    most_in: int = 0
    most_out: int = 0

    def plus(self, other: "Spent") -> "Spent":
        """Return the sum, number by number."""
        return Spent(*(one + more for one, more in zip(self, other, strict=True)))


class Ledger(AppendOnly[Entry]):
    """`with Ledger(path, allow) as ledger: ...`. It is the meter of an engine and a store for `ask`."""

    def __init__(self, path: Path | str, allow: Callable[[Spent], None] = lambda spent: None):
        """Name the file of one judge, which `with` opens.

        Before each call, `allow` is given what all calls would have come to with it. It raises InputError
        where that is too much.
        """
        super().__init__(path, Entry)
        self._allow = allow
        self._answers: dict[str, Response] = {}
        self._sent: dict[str, tuple[int, int]] = {}  # the bounds of a request's last call
        self._spent: dict[str, Spent] = {}
        self._total = Spent()
        self.lost: dict[str, FailedAttempt] = {}
        """The requests that get no answer in this run, by their keys."""
        self.asked: set[str] = set()
        """The keys of all requests that this run wants answers to."""

    def answer(self, request: Request, sampling: Sampling) -> Response | None:
        """Return the answer that this very request got, in this run or an earlier one; None without one."""
        return self._answers.get(request_key(request, sampling))

    def spent(self, keys: Set[str] | None = None) -> Spent:
        """Return what all calls came to, or those of the requests with these keys."""
        if keys is None:
            return self._total
        return reduce(Spent.plus, (self._spent.get(key, Spent()) for key in keys), Spent())

    def answers(
        self, engine: Engine, requests: Sequence[Request], sampling: Sampling
    ) -> nullcontext["LedgerAnswers"]:
        """Open the answers to some requests: a `Store` for `ask`. The ledger has one engine only."""
        return nullcontext(LedgerAnswers(self, requests, sampling))

    def sending(self, request: Request, sampling: Sampling) -> None:
        """Write down that a call is being made, if `allow` lets it."""
        most_in, most_out = most_tokens(request.messages), sampling.max_new_tokens
        self._allow(self._total.plus(Spent(calls=1, most_in=most_in, most_out=most_out)))
        key = request_key(request, sampling)
        self.append([Entry(key=key, event="sent", tokens_in=most_in, tokens_out=most_out)])

    def refused(self, request: Request, sampling: Sampling) -> None:
        """Write down that the server refused the last call of this request, so that it cost nothing."""
        self.append([Entry(key=request_key(request, sampling), event="refused")])

    def gave_up(self, request: Request, sampling: Sampling, kind: str, text: str) -> None:
        """Remember that this request gets no answer in this run; the next run asks it again."""
        self.lost[request_key(request, sampling)] = FailedAttempt(reason=kind, text=text)

    def _remember(self, entry: Entry) -> None:
        sent_in, sent_out = self._sent.get(entry.key, (0, 0))
        if entry.event == "sent":
            self._sent[entry.key] = (entry.tokens_in, entry.tokens_out)
            change = Spent(calls=1, most_in=entry.tokens_in, most_out=entry.tokens_out)
        elif entry.event == "refused":
            change = Spent(refused=1, most_in=-sent_in, most_out=-sent_out)
        else:
            self._answers[entry.key] = entry.response
            change = Spent(answers=1)
            if entry.response.usage is not None:  # the bound of one call becomes what the server counted
                read, written = entry.response.usage.prompt_tokens, entry.response.usage.completion_tokens
                change = Spent(0, 0, 1, 1, read, written, read - sent_in, written - sent_out)
        self._spent[entry.key] = self._spent.get(entry.key, Spent()).plus(change)
        self._total = self._total.plus(change)


class LedgerAnswers:
    """A ledger's answers to some requests, by id, as `ask` wants them."""

    def __init__(self, ledger: Ledger, requests: Sequence[Request], sampling: Sampling):
        """Look the requests up; ids must be unique among them."""
        self._ledger = ledger
        self._keys = {request.id: request_key(request, sampling) for request in requests}
        ledger.asked.update(self._keys.values())
        found = {request.id: ledger.answer(request, sampling) for request in requests}
        self.responses = {identity: response for identity, response in found.items() if response is not None}

    @property
    def lost(self) -> dict[str, FailedAttempt]:
        """The requests that get no answer in this run, by id."""
        lost = self._ledger.lost
        return {identity: lost[key] for identity, key in self._keys.items() if key in lost}

    def append(self, batch: Sequence[Response]) -> None:
        """Write down the answers that are new: an engine may repeat a batch that was half answered."""
        new = {response.id: response for response in batch if response.id not in self.responses}
        answers = new.items()
        self._ledger.append([Entry(key=self._keys[i], event="answered", response=r) for i, r in answers])
        self.responses |= new


def request_key(request: Request, sampling: Sampling) -> str:
    """Return the digest of a request and its sampling: all that tells it from others to the same model."""
    return digest_value({"request": request.as_json(), "sampling": sampling.model_dump()})


def most_tokens(messages: Sequence[Message]) -> int:
    """Return a bound on the tokens of a prompt: no tokenizer makes more tokens than there are bytes."""
    return sum(len(message.content.encode("utf-8")) + MESSAGE_TOKENS for message in messages)
