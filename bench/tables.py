"""Reading TOML strictly: every key known, every value of its kind, one clear message each."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bench.errors import InputError
from bench.units import QUANTITIES


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a TOML file, with its place for error messages.

    Every method raises :class:`InputError` that names file, field, value and remedy.
    """

    data: Mapping[str, object]
    where: str
    file: Path

    def field(self, key: str) -> str:
        """The full name of a key, as messages show it."""
        return f"{self.where}.{key}" if self.where else key

    def fail(self, key: str, problem: str, remedy: str) -> NoReturn:
        """Refuse the value of ``key``."""
        value = self.data.get(key)
        shown = None if isinstance(value, dict | list) else value
        raise InputError(problem, remedy=remedy, file=self.file, field=self.field(key), value=shown)

    def only(self, required: Iterable[str] = (), optional: Iterable[str] = ()) -> Table:
        """Check the keys: all of ``required``, and none but these and ``optional``."""
        required = list(required)
        known = sorted({*required, *optional})
        for key in self.data:
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                remedy = f"did you mean {close[0]}?" if close else f"use one of {', '.join(known)}"
                raise InputError(
                    "unknown key", remedy=remedy, file=self.file, field=self.field(key)
                )
        for key in required:
            if key not in self.data:
                self.fail(key, "is missing", "add it")
        return self

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty; ``default`` where the key is absent."""
        if key not in self.data:
            if default is None:
                self.fail(key, "is missing", "add it")
            return default
        value = self.data[key]
        if not isinstance(value, str):
            self.fail(key, "is not text", "put it in quotes")
        if not value.strip():
            self.fail(key, "is empty", "fill it in or leave the key out")
        return value

    def choice(self, key: str, known: Iterable[str], default: str | None = None) -> str:
        """A text out of ``known``."""
        value = self.text(key, default)
        known = list(known)
        if value not in known and key in self.data:
            self.fail(key, "is unknown", f"use one of {', '.join(known)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where the key is absent."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            self.fail(key, "is not a list of texts", 'write it like ["a", "b"]')
        return tuple(value)

    def flag(self, key: str) -> bool:
        """True or false; false where the key is absent."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            self.fail(key, "is neither true nor false", "write true or false without quotes")
        return value

    def quantity(self, key: str, unit: str) -> float:
        """A text with a unit, in the SI unit ``unit`` (one of ``bench.units.QUANTITIES``)."""
        if key not in self.data:
            self.fail(key, "is missing", "add it")
        return QUANTITIES[unit](self.data[key], field=self.field(key), file=self.file)

    def table(self, key: str) -> Table:
        """A table; empty where the key is absent."""
        value = self.data.get(key, {})
        if not isinstance(value, dict):
            self.fail(key, "is not a table", f"write it as [{self.field(key)}]")
        return Table(value, self.field(key), self.file)

    def named(self, key: str) -> Mapping[str, Table]:
        """A table of tables, by name."""
        outer = self.table(key)
        return {name: outer.table(name) for name in outer.data}

    def tables(self, key: str, name_by: str = "") -> tuple[Table, ...]:
        """A list of tables, shown in messages by their ``name_by`` or else by their number."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fail(key, "is not a list of tables", f"write each as [[{self.field(key)}]]")
        return tuple(
            Table(item, f"{self.field(key)}[{item.get(name_by, number)}]", self.file)
            for number, item in enumerate(value, 1)
        )


def read_toml(path: Path, what: str) -> Table:
    """Read a TOML file; ``what`` names it for people ("the catalogue").

    Raises:
        InputError: missing, unreadable or not TOML.
    """
    try:
        data = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError as error:
        raise InputError("no such file", remedy=f"check the path of {what}", file=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read ({error})", remedy="give a readable TOML file in UTF-8", file=path
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"is not TOML: {error}", remedy="correct the file at that place", file=path
        ) from error
    return Table(data, "", path)
