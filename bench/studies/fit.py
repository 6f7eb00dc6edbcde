"""``bench fit``: a link profile from two captures of one path, with its goodness of fit."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.captures.flows import Capture
from bench.captures.matching import Arrival, Fate
from bench.captures.taps import Comparison, SharedFlow, compare, read_captures
from bench.errors import InputError
from bench.measure.fitting import DirectionFit, Passage, fit_direction
from bench.network.delays import Delay
from bench.network.impairment import Direction, GilbertElliott, Impairment, LossModel
from bench.sessions.codec import to_json
from bench.studies.capture_files import capture_notes, digest, file_name, text_of

DIRECTION: dict[bool, Direction] = {True: "to-doctor", False: "to-patient"}
"""Where packets go that the left tap, on the patient side, saw first; and the others."""

_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class Source:
    """One capture: its file name, SHA-256, and what a reader must know of it."""

    file: str
    sha256: str
    packets: int
    others: int
    truncated: bool
    dropped: int
    without_time: int
    resolution_s: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What two captures tell of a path.

    ``directions``: by where the packets go; ``None`` where none went. ``flows``: how many pairs of
    addresses and ports both captures saw. ``undirected``: packets (left, right) of flows in which
    all look alike. ``notes``: about the captures.
    """

    name: str
    left: Source
    right: Source
    flows: int
    undirected: tuple[int, int]
    directions: dict[Direction, DirectionFit | None]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Every key always there, SI units, ``null`` where empty."""
        found: dict[str, Any] = to_json(self)
        return found | {"synthetic": self.synthetic, "profile": self.profile()}

    @property
    def synthetic(self) -> str:
        """What about the profile is invented."""
        text = f"synthetic: fitted to captures {self.left.file} and {self.right.file}"
        seen = [way for way, found in self.directions.items() if found is not None]
        if len(seen) == 1:
            text += f"; only {seen[0]} was seen, the other direction is assumed alike"
        return text

    def impairment(self, direction: Direction) -> Impairment:
        """The fitted impairment; that of the other direction where none was seen."""
        found = self.directions[direction] or next(
            each for each in self.directions.values() if each is not None
        )
        return found.impairment

    def profile(self) -> str:
        """The link profile as a file that ``load_profiles`` reads."""
        sources = ", ".join(f"{each.file} (SHA-256 {each.sha256})" for each in self._sources())
        head = {
            "title": f"Fitted to {self.left.file} and {self.right.file}",
            "source": f"captures {sources}",
            "synthetic": self.synthetic,
        }
        lines = [f"[profiles.{_key(self.name)}]"]
        lines += [f"{key} = {_text(value)}" for key, value in head.items()]
        for direction in DIRECTION.values():
            lines += ["", f"[profiles.{_key(self.name)}.{direction}]"]
            found = _impairment_lines(self.impairment(direction))
            lines += [f"{key} = {value}" for key, value in found.items()]
        return "\n".join(lines) + "\n"

    def _sources(self) -> tuple[Source, Source]:
        return self.left, self.right


def fit(
    left: Path,
    right: Path,
    *,
    name: str | None = None,
    only: str | None = None,
    resolution_s: float = 0.0,
    seed: int = 7,
) -> Fit:
    """Fit the path between two taps.

    Args:
        left: capture on the patient side.
        right: capture on the doctor side, of the same traffic and time.
        name: of the profile; the two files' names if none.
        only: fit only flows in whose name this text occurs, like ``":5004"``.
        resolution_s: differences of delay below this count as none, where that is more than the
            steps of the stamps (the noise of the taps, as a null path shows it).
        seed: of the draws with which the fit is tried.

    Raises:
        InputError: what cannot be read, paired or fitted; names the file and the remedy.
    """
    near, far = read_captures(left, right)
    paired = _only(compare(near, far), only)
    steps_s = max(resolution_s, near.resolution_s + far.resolution_s)
    directions: dict[Direction, DirectionFit | None] = {}
    for forward, direction in DIRECTION.items():
        flows = [flow for flow in paired.flows if flow.forward == forward]
        try:
            directions[direction] = fit_direction(_passage(flows, steps_s), seed) if flows else None
        except InputError as error:
            raise InputError(
                error.problem,
                remedy=error.remedy,
                file=f"{left.name}, {right.name}",
                field=f"{direction}.{error.field}" if error.field else direction,
            ) from error
    sources = tuple(_source(capture) for capture in (near, far))
    return Fit(
        text_of(name or f"{left.stem}-{right.stem}"), sources[0], sources[1], len(paired.flows),
        paired.undirected, directions, tuple(_notes(paired)),
    )  # fmt: skip


def _only(paired: Comparison, text: str | None) -> Comparison:
    if text is None:
        return paired
    chosen = tuple(flow for flow in paired.flows if text in str(flow.name))
    if not chosen:
        names = "; ".join(sorted(str(flow.name) for flow in paired.flows)[:_MOST_NAMES])
        raise InputError(
            "no flow at both taps is called that",
            remedy=f"give a part of a name like {names}",
            field="--only",
            value=text,
        )
    return replace(paired, flows=chosen)


def write_profile(found: Fit, output: Path) -> None:
    """Write the profile.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        output.write_text(found.profile(), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", remedy="give a writable path", file=output,
            field="--output",
        ) from error  # fmt: skip


def _passage(flows: list[SharedFlow], resolution_s: float) -> Passage:
    """All flows of one direction together, in order of sending."""
    kept = [np.isin(flow.pairs.fate, (Fate.ARRIVED.value, Fate.LOST.value)) for flow in flows]

    def together(arrays: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.concatenate([each[keep] for each, keep in zip(arrays, kept, strict=True)])

    sent = together([flow.pairs.sent_ns for flow in flows])
    order = np.argsort(sent, kind="stable")

    def total(what: Fate | Arrival) -> int:
        return sum(flow.pairs.count(what) for flow in flows)

    return Passage(
        sent[order],
        together([flow.pairs.received_ns for flow in flows])[order],
        together([flow.size.astype(np.int64) for flow in flows])[order],
        together([np.full(len(flow.size), n) for n, flow in enumerate(flows)])[order],
        duplicates=total(Arrival.DUPLICATE),
        ambiguous=total(Fate.AMBIGUOUS),
        in_flight=total(Fate.IN_FLIGHT),
        unmatched=total(Arrival.UNMATCHED),
        resolution_s=resolution_s,
    )


def _source(capture: Capture) -> Source:
    return Source(
        file_name(capture.path), digest(capture.path), len(capture), capture.others,
        capture.truncated, capture.dropped, capture.without_time, capture.resolution_s,
    )  # fmt: skip


def _notes(paired: Comparison) -> list[str]:
    notes = [
        f"{file_name(capture.path)}: {text}"
        for capture in (paired.left, paired.right)
        for text in capture_notes(capture)
    ]
    if any(paired.undirected):
        notes.append(
            f"{paired.undirected[0]} and {paired.undirected[1]} packets of flows in which all look "
            "alike left out"
        )
    return notes


# The profile as TOML


def _key(name: str) -> str:
    plain = name.replace("-", "").replace("_", "")
    return name if plain.isascii() and plain.isalnum() else _text(name)


def _text(value: str) -> str:
    """A TOML basic string: JSON's escapes are among TOML's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _impairment_lines(impairment: Impairment) -> dict[str, str]:
    """Keys and values as :mod:`bench.network.impairment_files` reads them."""
    plain = Impairment()
    lines = _delay_lines(impairment.delay)
    if impairment.order != plain.order:
        lines["order"] = _text(impairment.order)
    if impairment.loss is not None:
        lines["loss"] = _loss(impairment.loss)
    if impairment.duplication:
        lines["duplication"] = _text(repr(impairment.duplication))
    if impairment.rate_bps is not None:
        lines["rate"] = _text(f"{impairment.rate_bps!r}bit/s")
        lines["queue"] = _text(f"{impairment.queue_s!r}s")
    return lines


def _delay_lines(delay: Delay) -> dict[str, str]:
    lines = {"delay": _text(f"{delay.mean_s!r}s")}
    if delay.law != "constant":
        lines |= {"law": _text(delay.law), "jitter": _text(f"{delay.spread_s!r}s")}
    if delay.table:
        lines["table"] = str(list(delay.table))
    return lines


def _loss(loss: LossModel) -> str:
    assert isinstance(loss, GilbertElliott)
    if not loss.p_good_to_bad:
        return _text(repr(loss.loss_good))
    names = ("p_good_to_bad", "p_bad_to_good", "loss_good", "loss_bad")
    values = ", ".join(f"{name} = {_text(repr(getattr(loss, name)))}" for name in names)
    return f'{{ model = "gilbert-elliott", {values} }}'
