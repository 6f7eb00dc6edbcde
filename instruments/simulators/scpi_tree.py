"""The tree of commands: patterns as manuals print them, and the command that a header names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from instruments.simulators.scpi_errors import ScpiError
from instruments.simulators.scpi_values import Kind, Value, forms

if TYPE_CHECKING:
    from instruments.simulators.scpi_instrument import ScpiInstrument

_NODE = re.compile(r"(\[)?:?([A-Za-z][A-Za-z0-9|]*)(?:<(\d+)>)?(\])?")
_WORD = re.compile(r"([A-Z_][A-Z0-9_]*?)(\d*)$")


@dataclass(frozen=True)
class Call:
    """What a command's function is told.

    Attributes:
        instrument: whose settings may be read and written.
        suffixes: one for each ``<n>`` above 1 of the pattern, 1 where none was written.
        values: the arguments, as their kinds read them.
    """

    instrument: ScpiInstrument
    suffixes: tuple[int, ...]
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Command:
    """One line of an instrument's table of commands.

    Args:
        header: like ``[:SOURce<2>]:FREQuency[:CW|FIXed]``: optional nodes in brackets, short form
            in capitals, ``<n>`` the highest numeric suffix, alternatives after a bar.
        name: of the setting that it writes and reads; empty: none.
        kind: of the setting.
        default: of the setting, after ``*RST``; a function of the suffixes where they differ.
        channels: of a setting with a channel list: how many channels there are; 0: none.
        takes: the arguments of ``do``.
        do: carries the command out.
        asks: the arguments of ``ask``.
        optional: how many of ``takes`` or ``asks`` may be left out, from the end.
        ask: makes the answer to the query.
        check: called before the setting is written; may refuse it.
        then: called after the setting was written.
        limits: the kind of the setting at this moment, where the range depends on others.
        retained: ``*RST`` leaves the setting alone.
    """

    header: str
    name: str = ""
    kind: Kind | None = None
    default: Value | Callable[[tuple[int, ...]], Value] = 0
    channels: int = 0
    takes: tuple[Kind, ...] = ()
    do: Callable[[Call], None] | None = None
    asks: tuple[Kind, ...] = ()
    optional: int = 0
    ask: Callable[[Call], str] | None = None
    check: Callable[[Call], None] | None = None
    then: Callable[[Call], None] | None = None
    limits: Callable[[Call], Kind] | None = None
    retained: bool = False

    def default_for(self, suffixes: tuple[int, ...]) -> Value:
        """The value after ``*RST``."""
        return self.default(suffixes) if callable(self.default) else self.default

    @property
    def writable(self) -> bool:
        """May be sent without a question mark."""
        return self.kind is not None or self.do is not None

    @property
    def readable(self) -> bool:
        """May be sent with a question mark."""
        return self.kind is not None or self.ask is not None


@dataclass(frozen=True)
class _Node:
    names: tuple[tuple[str, str], ...]
    highest: int
    optional: bool

    def suffix(self, word: str) -> int | None:
        """The numeric suffix of a word that names this node, 1 where none; None: another node."""
        if not self.highest:
            return 1 if any(word in names for names in self.names) else None
        match = _WORD.match(word)
        if match is None or not any(match[1] in names for names in self.names):
            return None
        return int(match[2][:6]) if match[2] else 1


@cache
def nodes(header: str) -> tuple[_Node, ...]:
    """The nodes of a pattern."""
    if header.startswith("*"):
        return (_Node(((header.upper(), header.upper()),), 0, False),)
    found, at = [], 0
    for match in _NODE.finditer(header):
        if match.start() != at or bool(match[1]) != bool(match[4]):
            break
        at = match.end()
        names = tuple(forms(name) for name in match[2].split("|"))
        found.append(_Node(names, int(match[3] or 0), match[1] is not None))
    if at != len(header) or not found:
        raise ValueError(f"not a pattern of headers: {header}")
    return tuple(found)


def spellings(header: str, *, short: bool, whole: bool) -> str:
    """A header as it may be sent: in short or long form, with or without its optional nodes."""
    parts = [n.names[0][0 if short else 1] for n in nodes(header) if whole or not n.optional]
    return parts[0] if header.startswith("*") else ":" + ":".join(parts)


class Tree:
    """Finds the command that a header names.

    Args:
        commands: the table; where two patterns allow one header, the first one counts.
    """

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = tuple(commands)
        self._patterns = [(command, nodes(command.header)) for command in self.commands]
        self._known: dict[tuple[str, ...], tuple[Command, tuple[int, ...]]] = {}

    def find(self, header: tuple[str, ...]) -> tuple[Command, tuple[int, ...]]:
        """The command and the suffixes.

        Raises:
            ScpiError: no such header (−113), or a suffix too large (−114).
        """
        if header not in self._known:
            found = self._search(header)
            if len(self._known) > 4096:
                self._known.clear()
            self._known[header] = found
        return self._known[header]

    def _search(self, header: tuple[str, ...]) -> tuple[Command, tuple[int, ...]]:
        beyond = False
        for command, pattern in self._patterns:
            for suffixes in _matches(pattern, header):
                if all(1 <= suffix <= highest for suffix, highest in suffixes):
                    return command, tuple(n for n, highest in suffixes if highest > 1)
                beyond = True
        raise ScpiError(-114 if beyond else -113, ":".join(header))


def _matches(
    pattern: tuple[_Node, ...], words: tuple[str, ...]
) -> list[tuple[tuple[int, int], ...]]:
    """Every way to read the words as the pattern: (suffix, highest) of the numbered nodes."""
    if not pattern:
        return [()] if not words else []
    node, rest = pattern[0], pattern[1:]
    found = []
    if words and (suffix := node.suffix(words[0])) is not None:
        own = ((suffix, node.highest),) if node.highest else ()
        found = [own + more for more in _matches(rest, words[1:])]
    if node.optional:
        own = ((1, node.highest),) if node.highest else ()
        found += [own + more for more in _matches(rest, words)]
    return found
