"""What a long proof has carried out, kept as long as what it rests on is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


def state_of(top: Path, places: Sequence[str], without: tuple[str, ...] = ()) -> str:
    """A digest of the Python and TOML files in folders (or files) below ``top``.

    ``without``: beginnings of names that are left out.
    """
    digest = hashlib.sha256()
    for place in places:
        whole = top / place
        for path in [whole] if whole.is_file() else sorted(whole.rglob("*")):
            name = path.relative_to(top).as_posix()
            if path.suffix in (".py", ".toml") and not (without and name.startswith(without)):
                digest.update(name.encode() + b"\0")
                digest.update(path.read_bytes())
    return digest.hexdigest()


class Kept(Generic[Key, Item]):
    """The items of one state in a file; those of another state are thrown away.

    Args:
        path: the file; made where it is missing.
        state: of what the items rest on.
        read: an item from its JSON.
        key: what tells an item from the others.
    """

    def __init__(
        self, path: Path, state: str, read: Callable[[Any], Item], key: Callable[[Item], Key]
    ) -> None:
        self._path, self._key = path, key
        self.done: dict[Key, Item] = {}
        head = json.dumps({"state": state})
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        first, *rest = text.splitlines() or [""]
        if first != head:
            path.parent.mkdir(exist_ok=True)
            path.write_text(head + "\n", encoding="utf-8")
            return
        for line in rest:
            try:
                item = read(json.loads(line))
            except (ValueError, TypeError, KeyError):
                continue  # cut off when it was interrupted: carried out again
            self.done[key(item)] = item
        if not text.endswith("\n"):  # the next item must not join the one that was cut off
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def keep(self, item: Item) -> None:
        """Append an item (a dataclass)."""
        self.done[self._key(item)] = item
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(item)) + "\n")  # type: ignore[call-overload]
