"""The ledger of a judge: every call is written down before it is made, every answer when it is there.

It differs from the journal of a generation in what it is for. A journal belongs to one list of requests; a
ledger belongs to one server and model, and a request that stands in it is never asked again, whichever list
it comes in: calls may cost money. And it knows what was sent and lost, so that a limit also holds over runs
that were killed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.engines.journal import AppendOnly
from stages.engines.request import Request, Sampling
from stages.records.fingerprint import digest_value
from stages.records.schema import Message, NonEmpty, Record, Response

MESSAGE_TOKENS = 64  # room for what a chat template adds to each message


class Entry(Record):
    """One line of the ledger. `tokens_in` and `tokens_out` are the most that a call sent can come to."""

    key: NonEmpty
    event: Literal["sent", "refused", "answered"]
    tokens_in: int = 0
    tokens_out: int = 0
    response: Response | None = None


@dataclass(frozen=True)
class Spent:
    """What calls came to. The `refused` ones cost nothing; of those that failed otherwise nobody knows.

    `prompt_tokens` and `completion_tokens` are the server's own counts, of the `measured` answers that
    have them. `most_in` and `most_out` are upper bounds for all calls but the refused ones: these counts
    where there are any, else a token for every byte sent, and as many as may be written.
    """

    calls: int = 0
    refused: int = 0
    answers: int = 0
    measured: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    most_in: int = 0
    most_out: int = 0


class _Account:
    """All calls of one request."""

    def __init__(self) -> None:
        self.sent = self.refused = self.tokens_in = self.tokens_out = 0
        self.response: Response | None = None

    def take(self, entry: Entry) -> None:
        if entry.event == "sent":
            self.sent += 1
            self.tokens_in, self.tokens_out = entry.tokens_in, entry.tokens_out
        elif entry.event == "refused":
            self.refused += 1
        else:
            self.response = entry.response

    def spent(self) -> Spent:
        """Return what these calls took: as measured, and at most where the server did not say."""
        usage = self.response.usage if self.response else None
        read, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        # An answer was one of the calls; the others that were not refused may have been served, too.
        unmeasured = max(0, self.sent - self.refused - (usage is not None))
        return Spent(
            calls=self.sent,
            refused=self.refused,
            answers=int(self.response is not None),
            measured=int(usage is not None),
            prompt_tokens=read,
            completion_tokens=written,
            most_in=read + unmeasured * self.tokens_in,
            most_out=written + unmeasured * self.tokens_out,
        )


class Ledger(AppendOnly[Entry]):
    """`with Ledger(path, allow) as ledger: ...`; an engine that asks a server takes it as its meter."""

    def __init__(self, path: Path | str, allow: Callable[[Spent], None] = lambda spent: None):
        """Name the file; `allow` is asked before each call what all calls will have come to with it.

        It raises InputError where that is too much.
        """
        super().__init__(path, Entry)
        self._allow = allow
        self._accounts: dict[str, _Account] = {}
        self._total = Spent()

    def answer(self, request: Request, sampling: Sampling) -> Response | None:
        """Return what this very request was answered, in this run or an earlier one."""
        account = self._accounts.get(request_key(request, sampling))
        return account.response if account else None

    def spent(self, keys: Iterable[str] | None = None) -> Spent:
        """Return what all calls came to, or those of the requests with these keys."""
        if keys is None:
            return self._total
        accounts = (self._accounts[key] for key in dict.fromkeys(keys) if key in self._accounts)
        return _sum([account.spent() for account in accounts])

    def sending(self, request: Request, sampling: Sampling) -> None:
        """Write down that a call is being made, if it may be."""
        most_in, most_out = most_tokens(request.messages), sampling.max_new_tokens
        self._allow(_sum([self._total, Spent(calls=1, most_in=most_in, most_out=most_out)]))
        key = request_key(request, sampling)
        self.append([Entry(key=key, event="sent", tokens_in=most_in, tokens_out=most_out)])

    def refused(self, request: Request, sampling: Sampling) -> None:
        """Write down that the last call of this request was refused, so that nothing was written."""
        self.append([Entry(key=request_key(request, sampling), event="refused")])

    def answered(self, batch: Sequence[tuple[Request, Response]], sampling: Sampling) -> None:
        """Write down answers; when this returns they are on disk."""
        self.append(
            [
                Entry(key=request_key(request, sampling), event="answered", response=response)
                for request, response in batch
            ]
        )

    def _take(self, entry: Entry) -> None:
        account = self._accounts.setdefault(entry.key, _Account())
        before = account.spent()
        account.take(entry)
        self._total = _sum([self._total, account.spent()], less=before)


def request_key(request: Request, sampling: Sampling) -> str:
    """Return what tells a request from all others to the same model: its id, messages, seed and sampling."""
    return digest_value({"request": request.as_json(), "sampling": sampling.model_dump()})


def most_tokens(messages: Sequence[Message]) -> int:
    """Return a bound on the tokens of a prompt: no tokenizer makes more tokens than there are bytes."""
    return sum(len(message.content.encode("utf-8")) + MESSAGE_TOKENS for message in messages)


def _sum(parts: Sequence[Spent], less: Spent | None = None) -> Spent:
    names = Spent.__dataclass_fields__
    totals = {name: sum(getattr(part, name) for part in parts) for name in names}
    return Spent(**{name: total - (getattr(less, name) if less else 0) for name, total in totals.items()})
