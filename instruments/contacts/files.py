"""A contact box in a bench file: ``[instruments.ROLE]`` with ``kind = "contact-box"``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.tables import Table
from instruments.contacts.box import ContactBox, Output
from instruments.contacts.witness import KINDS, Input
from instruments.visa.resources import Identity
from instruments.visa.transcript import Transcript

KIND = "contact-box"


@dataclass(frozen=True)
class ConfiguredBox:
    """A box as its table says; nothing is opened yet. ``address``: its serial device."""

    role: str
    address: str
    identity: Identity
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    reply_s: float

    def session(
        self,
        transcript: Transcript,
        lock_folder: Path | None = None,
        kind: Callable[..., ContactBox] = ContactBox,
    ) -> ContactBox:
        """The box, to be entered; ``kind`` makes it, called as :class:`ContactBox` is."""
        return kind(
            self.role, self.address, self.identity, self.inputs, self.outputs, self.reply_s,
            transcript, lock_folder=lock_folder,
        )  # fmt: skip


def box_of(role: str, table: Table) -> ConfiguredBox:
    """A box's table.

    Raises:
        InputError: a key that is missing, unknown or not possible.
    """
    table.only(
        ("kind", "address", "manufacturer", "model", "reply"),
        ("serial", "firmware", "inputs", "outputs"),
    )
    identity = Identity(
        table.text("manufacturer"),
        table.text("model"),
        table.text("serial", ""),
        table.text("firmware", ""),
    )
    reply_s = table.quantity("reply", "s")
    if reply_s <= 0:
        table.fail("reply", "is no deadline", "give more than 0, like 5s")
    inputs = {name: _input(item) for name, item in table.named("inputs").items()}
    seeing = [name for name, one in inputs.items() if one.kind == "contact"]
    outputs = {name: _output(item, seeing) for name, item in table.named("outputs").items()}
    for key, numbers in (
        ("inputs", [one.number for one in inputs.values()]),
        ("outputs", [one.number for one in outputs.values()]),
    ):
        if len(set(numbers)) != len(numbers):
            table.fail(key, "give one number to two of them", "number each pin once")
    return ConfiguredBox(role, table.text("address"), identity, inputs, outputs, reply_s)


def _input(table: Table) -> Input:
    table.only(("number", "kind"), ("settle", "active"))
    kind = table.choice("kind", KINDS)
    settle_s = 0.0 if kind == "motion" else 0.02
    if "settle" in table.data:
        settle_s = table.quantity("settle", "s")
    active = _one_of(table, "active", range(2)) if "active" in table.data else 1
    return Input(_one_of(table, "number", range(4)), kind, settle_s, active)


def _output(table: Table, seeing: Sequence[str]) -> Output:
    table.only(("number", "safe"), ("seen_by",))
    seen_by = table.choice("seen_by", seeing) if "seen_by" in table.data else ""
    return Output(_one_of(table, "number", range(2)), _one_of(table, "safe", range(2)), seen_by)


def _one_of(table: Table, key: str, known: range) -> int:
    value = table.data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value not in known:
        table.fail(key, "is not possible", f"give {known.start} to {known.stop - 1}")
    return value
