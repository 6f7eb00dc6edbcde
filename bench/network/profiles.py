"""Link profiles: named links with the source of their figures, as data.

A profile file is TOML with ``[profiles.NAME]``: title, source, what is synthetic about it, the
impairment of ``both`` directions or of ``to-patient`` and ``to-doctor``, and the ``figures`` that
the source gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from bench.errors import InputError
from bench.network.impairment import DIRECTIONS, Delay, DelayLaw, Impairment, bernoulli
from bench.tables import Table, read_toml

DATA = Path(__file__).parent / "data" / "profiles.toml"

FIGURES: Mapping[str, tuple[str, str]] = {
    "rtt_mean": ("rtt_mean_s", "s"),
    "rtt_min": ("rtt_min_s", "s"),
    "rtt_max": ("rtt_max_s", "s"),
    "recovery": ("recovery_s", "s"),
    "loss": ("loss", "1"),
}
"""Key in the file to key in :attr:`LinkProfile.figures` and SI unit."""

_IMPAIRMENT = {"delay": "s", "jitter": "s", "loss": "1", "rate": "bit/s", "queue": "s"}


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """One named link.

    ``synthetic``: what about it is invented, for reports. ``figures``: what the source gives, SI
    (keys of :data:`FIGURES`).
    """

    name: str
    title: str
    source: str
    synthetic: str
    to_patient: Impairment
    to_doctor: Impairment
    figures: Mapping[str, float]


def load_profiles(path: Path = DATA) -> dict[str, LinkProfile]:
    """The link profiles of a file, by name; the built-in ones if none is given.

    Raises:
        InputError: a broken file or a value that cannot be read; names file, field, value and
            remedy.
    """
    table = read_toml(path, "the link profiles").only(("profiles",))
    return {name: _profile(name, item) for name, item in table.named("profiles").items()}


def _profile(name: str, table: Table) -> LinkProfile:
    table.only(("title", "source", "synthetic"), ("both", *DIRECTIONS, "figures"))
    given = {key for key in ("both", *DIRECTIONS) if key in table.data}
    if given not in ({"both"}, set(DIRECTIONS)):
        table.fail("both", "the directions are unclear", "give both, or to-patient and to-doctor")
    to_patient, to_doctor = (
        _impairment(table.table("both" if "both" in given else key)) for key in DIRECTIONS
    )
    figures = table.table("figures").only((), FIGURES)
    values = {FIGURES[key][0]: figures.quantity(key, FIGURES[key][1]) for key in figures.data}
    return LinkProfile(
        name,
        table.text("title"),
        table.text("source"),
        table.text("synthetic"),
        to_patient,
        to_doctor,
        values,
    )


def _impairment(table: Table) -> Impairment:
    table.only((), ("law", *_IMPAIRMENT))
    values = {
        key: table.quantity(key, unit) for key, unit in _IMPAIRMENT.items() if key in table.data
    }
    law = cast(DelayLaw, table.choice("law", get_args(DelayLaw), "constant"))
    try:
        return Impairment(
            delay=Delay(values.get("delay", 0.0), law, values.get("jitter", 0.0)),
            loss=bernoulli(values["loss"]) if values.get("loss") else None,
            rate_bps=values.get("rate"),
            queue_s=values.get("queue", Impairment().queue_s),
        )
    except InputError as error:  # the impairment knows neither file nor profile
        raise InputError(
            error.problem,
            remedy=error.remedy,
            file=table.file,
            field=table.field(error.field or ""),
            value=error.value,
        ) from error
