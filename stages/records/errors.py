"""The one kind of error a user can cause and mend."""


class InputError(Exception):
    """Input or configuration that the user can correct.

    The message is one line that names file, record and field, as far as they apply. `stages.command`
    prints it without a traceback and exits with code 1.
    """

    def __init__(self, message: str, *, file: object = None, record: object = None, field: object = None):
        where = [str(file)] if file is not None else []
        where += [f"record {record}"] if record is not None else []
        where += [f"field {field}"] if field is not None else []
        super().__init__(": ".join([*where, " ".join(message.split())]))
