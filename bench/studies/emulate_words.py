"""The words of ``bench emulate``: read into the changes of each direction, before anything starts.

``left`` is the patient side: left-to-right is the direction to the doctor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from bench.benches.lab_file import find_lab_link
from bench.errors import InputError
from bench.network.impairment import (
    DIRECTIONS,
    Delay,
    Direction,
    FourState,
    GilbertElliott,
    Impairment,
    Reordering,
    Slot,
    bernoulli,
)
from bench.network.library import find_scenario
from bench.network.profiles import find_profile
from bench.network.scenario import Schedule, compile_scenario
from bench.network.scenario_files import load_scenario
from bench.units import duration_s, rate_bps, ratio, size_bytes

Way = Literal["left-to-right", "right-to-left"]
Backend = Literal["auto", "netem", "userspace"]
Changes = tuple[tuple[int, Impairment], ...]

WAYS: Mapping[Direction, Way] = {"to-doctor": "left-to-right", "to-patient": "right-to-left"}
"""A direction of the link as this command calls it."""

_LAWS = ("uniform", "normal", "pareto", "paretonormal")
_LOSS_MODELS: Mapping[str, tuple[Callable[..., GilbertElliott | FourState], tuple[str, ...], int]]
_LOSS_MODELS = {
    "gilbert-elliott": (
        GilbertElliott,
        ("p_good_to_bad", "p_bad_to_good", "loss_bad", "loss_good"),
        2,
    ),
    "four-state": (FourState, ("p13", "p31", "p32", "p23", "p14"), 2),
}
"""By name: the model, its numbers in the order of netem's, and how many must be given."""

_OPTION = {
    "delay": "--delay",
    "delay.spread_s": "--jitter",
    "delay.law": "--jitter",
    "loss": "--loss",
    "rate_bps": "--rate",
    "queue_s": "--queue",
    "queue_packets": "--queue",
    "duplication": "--duplicate",
    "reordering": "--reorder",
    "ber": "--ber",
    "slot": "--slot",
    "mtu_bytes": "--mtu",
    "hold": "--hold",
}
_CORRELATED = (
    "is two figures: netem's correlation, which changes the ratio itself (1 % with 25 % "
    "correlation loses 0.0003 %)"
)


@dataclass(frozen=True, slots=True)
class Words:
    """What the user wrote; None where nothing."""

    delay: str | None = None
    jitter: str | None = None
    distribution: str | None = None
    order: str | None = None
    loss: str | None = None
    loss_model: str | None = None
    duplicate: str | None = None
    reorder: str | None = None
    ber: str | None = None
    rate: str | None = None
    queue: str | None = None
    slot: str | None = None
    mtu: str | None = None
    hold: bool = False
    down: bool = False

    @property
    def given(self) -> tuple[str, ...]:
        """The options that were used, as the user writes them."""
        return tuple(
            f"--{name.replace('_', '-')}"
            for name in self.__dataclass_fields__
            if getattr(self, name)
        )

    def text(self, option: str) -> str | None:
        """What the user wrote for an option like ``--delay``."""
        value = getattr(self, option.removeprefix("--").replace("-", "_"), None)
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Asked:
    """One ``bench emulate``, understood.

    ``changes``: per direction, ns from the start; a direction that stays clean has none.
    ``end_ns``: when the scenario ends; None: until interrupted. ``draws``: what it drew.
    """

    left: str
    right: str
    changes: Mapping[Direction, Changes]
    seed: int = 7
    backend: Backend = "auto"
    force: tuple[str, ...] = ()
    link: str = "primary"
    end_ns: int | None = None
    profile: str | None = None
    scenario: str | None = None
    draws: Mapping[str, float] = field(default_factory=dict)
    control: Path | None = None


def changes_of(
    words: Words,
    profile: str | None,
    scenario: str | None,
    direction: str,
    seed: int,
    link: str | None = None,
) -> tuple[Mapping[Direction, Changes], Schedule | None, str | None]:
    """The changes of each direction, and the schedule and its link where a scenario gives them.

    ``link``: which link of the scenario; None: its first.

    Raises:
        InputError: more than one source, or something in it that cannot be.
    """
    named = [("--profile", profile), ("--scenario", scenario)]
    sources = [name for name, value in named if value is not None] + list(words.given[:1])
    if len(sources) > 1:
        _fail(sources[0], None, f"does not go with {sources[1]}", "give one of them")
    wanted = directions_of(direction)
    if scenario is not None:
        schedule = compile_scenario(
            load_scenario(Path(scenario)) if _is_file(scenario) else find_scenario(scenario), seed
        )
        link = link or schedule.links[0]
        if link not in schedule.links:
            remedy = f"use one of {', '.join(schedule.links)}"
            _fail("--link", link, "is no link of the scenario", remedy)
        found = {way: schedule.of(link, way) for way in DIRECTIONS}
        return {way: found[way] if way in wanted else () for way in DIRECTIONS}, schedule, link
    if profile is not None:
        known = find_profile(profile)
        states = {"to-patient": known.to_patient, "to-doctor": known.to_doctor}
    else:
        one = impairment_of(words)
        states = {"to-patient": one, "to-doctor": one}
    changes = {way: ((0, states[way]),) if way in wanted else () for way in DIRECTIONS}
    return changes, None, link


def interfaces_of(
    left: str | None, right: str | None, bench_file: Path | None, link: str | None
) -> tuple[str, str]:
    """The interfaces at the patient side and at the doctor side.

    Raises:
        InputError: one is missing, or the bench file cannot be used.
    """
    if bench_file is not None:
        for option, value in (("--left", left), ("--right", right)):
            if value is not None:
                _fail(option, value, "does not go with --bench-file", "give one of them")
        return find_lab_link(bench_file, link)[1].ifnames()
    for option, value in (("--left", left), ("--right", right)):
        if value is None:
            _fail(
                option, None, "is missing", f"name an interface ({option} IFACE), or --bench-file"
            )
    return str(left), str(right)


def _is_file(name: str) -> bool:
    return name.endswith(".toml") or "/" in name


def directions_of(text: str, field: str = "--direction") -> tuple[Direction, ...]:
    """Which directions ``both``, ``left-to-right`` or ``right-to-left`` names.

    Raises:
        InputError: neither.
    """
    known: dict[str, tuple[Direction, ...]] = {"both": DIRECTIONS}
    for direction, way in WAYS.items():
        known[way] = known[direction] = (direction,)
    if text not in known:
        _fail(field, text, "is unknown", "use both, left-to-right or right-to-left")
    return known[text]


def read_backend(text: str) -> Backend:
    """Which emulator.

    Raises:
        InputError: unknown.
    """
    if text not in get_args(Backend):
        _fail("--backend", text, "is unknown", f"use {', '.join(get_args(Backend))}")
    return text  # type: ignore[return-value]


def read_seed(text: str) -> int:
    """The seed, a whole number.

    Raises:
        InputError: another thing.
    """
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32:
        _fail("--seed", text, "is not a whole number from 0 to 4294967295", "give one, like 7")
    return int(text)


def impairment_of(words: Words) -> Impairment:
    """The impairment that the words describe.

    Raises:
        InputError: a figure that cannot be read, or a state that would not be what it says; names
            the option, the text and the remedy.
    """
    values: dict[str, Any] = {"up": not words.down, "hold": words.hold}
    if words.order is not None:
        if words.order not in ("preserve", "allow"):
            _fail("--order", words.order, "is unknown", "use preserve or allow")
        values["order"] = words.order
    if words.loss is not None and words.loss_model is not None:
        _fail("--loss", words.loss, "does not go with --loss-model", "give one of them")
    try:
        values |= _delay(words) | _loss(words) | _queue(words) | _others(words)
        return Impairment(**values)
    except InputError as error:
        option = _OPTION.get(error.field or "", error.field or "")
        value = words.text(option) or error.value
        raise InputError(error.problem, remedy=error.remedy, field=option, value=value) from error


def _fail(option: str, value: object, problem: str, remedy: str) -> NoReturn:
    raise InputError(problem, remedy=remedy, field=option, value=value)


def _one(option: str, text: str, remedy: str) -> str:
    if len(re.findall(r"\d[\w.]*\s*%?", text)) > 1 and len(text.split()) > 1:
        _fail(option, text, _CORRELATED, remedy)
    return text


def _delay(words: Words) -> dict[str, Any]:
    if words.delay is None and words.jitter is None and words.distribution is None:
        return {}
    if words.distribution is not None and words.jitter is None:
        _fail("--distribution", words.distribution, "needs a jitter", "add --jitter, like 2ms")
    if words.distribution is not None and words.distribution not in _LAWS:
        remedy = f"use {', '.join(_LAWS)}; measured delays go into a profile (bench fit)"
        _fail("--distribution", words.distribution, "is unknown", remedy)
    times = {}
    for option, text in (("--delay", words.delay), ("--jitter", words.jitter)):
        if text is not None and len(text.split()) > 1 and re.search(r"\d.*\s.*\d", text):
            remedy = "give --delay, --jitter and --distribution a figure each"
            _fail(option, text, "is more than one figure", remedy)
        times[option] = duration_s(text, field=option) if text is not None else 0.0
    law = (words.distribution or "uniform") if times["--jitter"] else "constant"
    return {"delay": Delay(times["--delay"], law, times["--jitter"])}  # type: ignore[arg-type]


def _loss(words: Words) -> dict[str, Any]:
    if words.loss is not None:
        remedy = 'give bursts a model of their own: --loss-model "gilbert-elliott 1% 25%"'
        share = ratio(_one("--loss", words.loss, remedy), field="--loss")
        return {"loss": bernoulli(share) if share else None}
    if words.loss_model is None:
        return {}
    name, *figures = words.loss_model.split()
    if name not in _LOSS_MODELS:
        known = ", ".join(_LOSS_MODELS)
        _fail("--loss-model", words.loss_model, "is unknown", f"begin it with one of {known}")
    make, names, least = _LOSS_MODELS[name]
    if not least <= len(figures) <= len(names):
        optional = "".join(f" [{each}" for each in names[least:]) + "]" * len(names[least:])
        remedy = f"write it like: {name} {' '.join(names[:least])}{optional}"
        _fail("--loss-model", words.loss_model, "has too few or too many figures", remedy)
    values = {
        key: ratio(text, field=f"--loss-model: {key}")
        for key, text in zip(names, figures, strict=False)
    }
    return {"loss": make(**values)}


def _queue(words: Words) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if words.rate is not None:
        found["rate_bps"] = rate_bps(words.rate, field="--rate")
    if words.queue is not None:
        if words.rate is None:
            _fail("--queue", words.queue, "without a rate nothing waits", "add --rate")
        if words.queue.strip().isdigit():
            found["queue_packets"] = int(words.queue)
        else:
            found["queue_s"] = duration_s(words.queue, field="--queue")
    return found


def _others(words: Words) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, key, text in (
        ("--duplicate", "duplication", words.duplicate),
        ("--ber", "ber", words.ber),
    ):
        if text is not None:
            found[key] = ratio(_one(name, text, "give one ratio"), field=name)
    if words.reorder is not None:
        share = ratio(_one("--reorder", words.reorder, "give one ratio"), field="--reorder")
        found["reordering"] = Reordering(share) if share else None
    if words.slot is not None:
        ends = [duration_s(each, field="--slot") for each in words.slot.split("-", 1)]
        if not all(0 < each < math.inf for each in ends):
            _fail("--slot", words.slot, "is no distance of two slots", "write 5ms or 5ms-10ms")
        found["slot"] = Slot(ends[0], ends[-1])
    if words.mtu is not None:
        text = words.mtu.strip()
        length = int(text) if text.isdigit() else size_bytes(text, field="--mtu")
        found["mtu_bytes"] = length
    return found
