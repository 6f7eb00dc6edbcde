"""The one error that is meant for people: bad input, said in one line."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line and names what was wrong (file, field, value) and the remedy.
    The command line prints it and exits with 2, without a traceback.

    Args:
        problem: what is wrong, in a few words.
        remedy: what the user can do about it.
        file: the file the value came from, if any.
        field: the field (``limits.command_delay_s``) or option (``--seed``), if any.
        value: the offending value, if any.
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        file: object = None,
        field: str | None = None,
        value: object = None,
    ) -> None:
        self.problem = problem
        self.remedy = remedy
        self.file = None if file is None else str(file)
        self.field = field
        self.value = value
        super().__init__(self.line())

    def line(self) -> str:
        """The message as one line: ``file: field = value: problem; remedy``."""
        where = [self.file] if self.file else []
        if self.field and self.value is not None:
            where.append(f"{self.field} = {self.value!r}")
        elif self.field:
            where.append(self.field)
        elif self.value is not None:
            where.append(repr(self.value))
        text = ": ".join([*where, self.problem])
        return " ".join(f"{text}; {self.remedy}".split())
