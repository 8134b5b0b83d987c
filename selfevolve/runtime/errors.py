"""What is no defect of the program: wrong input, an absence, an unusable answer, a signal to end."""

import signal


class InputError(Exception):
    """Input or configuration that the user can correct.

    The message is one line that names file, record and field, as far as they apply. `runtime.command`
    prints it without a traceback and exits with code 1.
    """

    def __init__(self, message: str, *, file: object = None, record: object = None, field: object = None):
        where = [str(file)] if file is not None else []
        where += [f"record {record}"] if record is not None else []
        where += [f"field {field}"] if field is not None else []
        super().__init__(": ".join([*where, " ".join(message.split())]))


class Unavailable(Exception):  # noqa: N818 - an absence to report, not an error of the program
    """Something is neither on this machine nor to be fetched, or unusable; the message says why."""


class ParseError(Exception):
    """What a model wrote does not hold what it was asked for; `reason` says why in a word."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Ended(KeyboardInterrupt):
    """A signal has told this process to end."""

    def __init__(self, number: int):
        super().__init__()
        self.signal = signal.Signals(number)
