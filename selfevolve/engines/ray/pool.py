"""Workers on a Ray cluster that do calls, whoever of them is lost meanwhile.

Ray can restart an actor and repeat its calls by itself (`max_restarts`, `max_task_retries`; Ray Data's pools
of actors rest on that). But then a call stays with the actor it was first given to: when its node is gone and
no other has room for the actor, the call waits while other workers have nothing to do. So here Ray repeats
nothing. A call that was lost goes back to the head of the queue, to whoever is free first, and a new worker
takes the place of the lost one wherever there is room.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from selfevolve.runtime.errors import InputError

PATIENCE_S = 10.0  # how long no worker may be there before it is said
PAUSE_S = 1.0  # before a worker that did not even open is replaced
CLOSING_S = 20.0  # what workers may take to put their engines away

Call = tuple[str, tuple[Any, ...]]
"""The name of a worker's method, and its arguments."""


@dataclass(eq=False)
class Member:
    """A worker and what it is doing: `task` is a reference to the result, None while it has no work."""

    actor: Any
    task: Any
    call: tuple[int, Call] | None = None
    """The call and its place among the calls; None while the worker opens."""


class Pool:
    """At most `size` workers; they are hired when there is work for them, and replaced when they are lost."""

    def __init__(self, size: int, hire: Callable[[], tuple[Any, Any]], greet: Callable[[Any], None]):
        """Take what knows the workers; nothing is started yet.

        `hire` starts an actor without restarts, and returns it and the reference of its first call, which
        opens it. `greet` is given what that call returned.
        """
        self._size, self._hire, self._greet = size, hire, greet
        self._members: list[Member] = []
        self._opened: set[Member] = set()
        self._told = False

    def run(self, calls: Sequence[Call]) -> Generator[tuple[int, Any], None, None]:
        """Yield (place of the call, what it returned) in the order in which they are done, each once.

        A worker, a node or a result that is lost costs time alone, as often as it happens. What a call
        itself raises is raised here at once, as it was.
        """
        queue = deque(enumerate(calls))
        left = len(queue)
        try:
            while left:
                self._give_out(queue)
                for member in self._ready():
                    call, lost, result = member.call, *self._result(member)
                    if lost:
                        self._replace(member, lost, queue)
                    elif call is None:
                        self._opened.add(member)
                        self._told = False
                        self._greet(result)
                    else:
                        left -= 1
                        yield call[0], result
        finally:
            for member in [member for member in self._members if member.call is not None]:
                self._dismiss(member)  # only where the work was broken off: nobody waits for it any more

    def close(self) -> None:
        """Let the workers put their engines away, for a bounded time, and end them."""
        import ray

        idle = [member for member in self._opened if member.call is None]
        if ending := [member.actor.close.remote() for member in idle]:
            ray.wait(ending, num_returns=len(ending), timeout=CLOSING_S)
        for member in list(self._members):
            self._dismiss(member)

    def _give_out(self, queue: deque[tuple[int, Call]]) -> None:
        busy = sum(member.call is not None for member in self._members)
        while len(self._members) < min(self._size, len(queue) + busy):
            self._members.append(Member(*self._hire()))
        for member in self._members:
            if queue and member.task is None:
                member.call = queue.popleft()
                method, arguments = member.call[1]
                member.task = getattr(member.actor, method).remote(*arguments)

    def _ready(self) -> list[Member]:
        import ray

        doing = {member.task: member for member in self._members if member.task is not None}
        ready, _ = ray.wait(list(doing), num_returns=1, timeout=PATIENCE_S)
        if not ready and not self._opened and not self._told:
            _say(f"waiting for a worker: none of {len(self._members)} runs yet")
            self._told = True
        return [doing[task] for task in ready]

    def _result(self, member: Member) -> tuple[Exception | None, Any]:
        """Return (how the worker was lost, None) or (None, what the call returned); free the worker."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        task, member.task = member.task, None
        try:
            result = ray.get(task)
        except RayTaskError as error:
            self._dismiss(member)
            raise (error.cause or error) from None
        except RayError as error:  # all others say that a process, a node or an object is gone, but one:
            if getattr(error, "actor_init_failed", False):  # the node has no such code, and never will
                reason = (str(error).strip().splitlines() or [""])[-1]
                raise InputError(f"a worker cannot be started: {reason}") from None
            return error, None
        member.call = None
        return None, result

    def _replace(self, member: Member, error: Exception, queue: deque[tuple[int, Call]]) -> None:
        call = member.call
        self._dismiss(member)
        doing = "while it opened" if call is None else "its batch is done again"
        _say(f"lost a worker ({type(error).__name__}), {doing}; {len(self._opened)} are left")
        if call is None:
            time.sleep(PAUSE_S)
        else:
            queue.appendleft(call)

    def _dismiss(self, member: Member) -> None:
        import ray

        self._members.remove(member)
        self._opened.discard(member)
        ray.kill(member.actor)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
