"""Link profiles: named links with the source of their figures, as data.

A profile file is TOML with ``[profiles.NAME]``: title, source, what is synthetic about it, the
impairment of ``both`` directions or of ``to-patient`` and ``to-doctor``, and the ``figures`` that
the source gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.errors import InputError
from bench.network.impairment import DIRECTIONS, Impairment
from bench.network.impairment_files import impairment_from
from bench.tables import Table, read_toml

DATA = Path(__file__).parent / "data" / "profiles.toml"

FIGURES: Mapping[str, tuple[str, str]] = {
    "rtt_mean": ("rtt_mean_s", "s"),
    "rtt_min": ("rtt_min_s", "s"),
    "rtt_max": ("rtt_max_s", "s"),
    "recovery": ("recovery_s", "s"),
    "loss": ("loss", "1"),
    "air_delay_min": ("air_delay_min_s", "s"),
    "air_delay_max": ("air_delay_max_s", "s"),
    "rate_min": ("rate_min_bps", "bit/s"),
    "rate_max": ("rate_max_bps", "bit/s"),
}
"""Key in the file to key in :attr:`LinkProfile.figures` and SI unit."""


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
    """The link profiles of a file, by name; the built-in ones if none is given, read once.

    Raises:
        InputError: a broken file or a value that cannot be read; names file, field, value and
            remedy.
    """
    return dict(_built_in()) if path == DATA else _read(path)


@cache
def _built_in() -> dict[str, LinkProfile]:
    return _read(DATA)


def _read(path: Path) -> dict[str, LinkProfile]:
    table = read_toml(path, "the link profiles").only(("profiles",))
    return {name: _profile(name, item) for name, item in table.named("profiles").items()}


def find_profile(name: str) -> LinkProfile:
    """A profile by name, or out of a file: ``FILE`` that holds one, or ``FILE:NAME``.

    Raises:
        InputError: unknown, or a broken file.
    """
    known = load_profiles()
    if name in known:
        return known[name]
    path, _, wanted = name, "", ""
    if not name.endswith(".toml"):
        path, _, wanted = name.rpartition(":")
    if not path.endswith(".toml"):
        raise InputError(
            "unknown link profile",
            remedy=f"use one of {', '.join(known)}, FILE.toml or FILE.toml:NAME",
            field="profile",
            value=name,
        )
    found = load_profiles(Path(path))
    if not wanted and len(found) == 1:
        return next(iter(found.values()))
    if wanted not in found:
        raise InputError(
            "there is no such profile in the file" if wanted else "holds more than one profile",
            remedy=f"use {path}:NAME with one of {', '.join(found)}",
            field="profile",
            value=name,
        )
    return found[wanted]


def _profile(name: str, table: Table) -> LinkProfile:
    table.only(("title", "source", "synthetic"), ("both", *DIRECTIONS, "figures"))
    to_patient, to_doctor = directions_from(table)
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


def directions_from(table: Table) -> tuple[Impairment, Impairment]:
    """The impairments to the patient and to the doctor: ``both``, or one table for each.

    Raises:
        InputError: none, or both and one; or what is in them cannot be read.
    """
    given = {key for key in ("both", *DIRECTIONS) if key in table.data}
    if given not in ({"both"}, set(DIRECTIONS)):
        table.fail("both", "the directions are unclear", "give both, or to-patient and to-doctor")
    to_patient, to_doctor = (
        impairment_from(table.table("both" if "both" in given else key)) for key in DIRECTIONS
    )
    return to_patient, to_doctor
