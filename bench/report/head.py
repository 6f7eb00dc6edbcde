"""The report's head and its limitations, as pairs of words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.report.data import ReportData
from bench.report.words import NONE, anything, plain

Pairs = list[tuple[str, str]]

_RUN_ID = ("run_id", "run", "id")
_SHOWN = frozenset(
    {
        *_RUN_ID, "plan", "title", "device", "simulated", "bench", "backend", "bench_reason",
        "versions", "host", "kernel", "git_commit", "git_changed", "commit", "seed", "start",
        "end", "started", "ended", "completion", "content_hash", "order", "scope", "noise_floor",
        "emulator_proof", "catalogue_sha256", "requirements", "options", "defects", "trials",
        "certify", "allow_inconclusive",
    }
)  # fmt: skip
_SURROGATES = {
    "handover": "handover",
    "radio-link-failure": "radio link failure",
}


def _first(run: Mapping[str, Any], *names: str) -> Any:
    return next((run[name] for name in names if run.get(name) not in (None, "", [], {})), None)


def run_id(run: Mapping[str, Any]) -> str:
    """The run's name, empty where the record has none."""
    value = _first(run, *_RUN_ID)
    if isinstance(value, Mapping):
        value = _first(value, "id", "name")
    return plain(value)


def _device(report: ReportData) -> dict[str, Any]:
    """The identity from the recordings' profile, else from what run.json says."""
    stated = report.run.get("device")
    facts = dict(stated) if isinstance(stated, Mapping) else {"name": stated}
    if report.recordings:
        profile = report.recordings[0].device
        facts |= {
            "name": profile.name, "title": profile.title, "class": profile.device_class,
            "manufacturer": profile.manufacturer, "model": profile.model,
            "version": profile.version, "fingerprint": profile.fingerprint,
        }  # fmt: skip
    return facts


def title(report: ReportData) -> str:
    """``Test report: Laparoscopic telesurgery robot (simulated)``."""
    device = _device(report)
    name = plain(device.get("title") or device.get("name"))
    return f"Test report: {name}" if name else "Test report"


def subtitle(report: ReportData) -> str:
    """Plan and run in one line."""
    plan = plain(_first(report.run, "plan"))
    parts = [f"Plan {plan}" if plan else "", f"run {run_id(report.run) or NONE}"]
    return ", ".join(part for part in parts if part)


def device_facts(report: ReportData) -> Pairs:
    """Who made the device under test and which one it is."""
    device, run = _device(report), report.run
    pairs = [
        ("device", device.get("name")),
        ("manufacturer", device.get("manufacturer")),
        ("model", device.get("model")),
        ("version", device.get("version")),
        ("class", device.get("class") or device.get("device_class")),
        ("kind", "simulated by the bench" if report.simulated_device else "real device"),
        ("options", run.get("options") or "none"),
        ("deliberate defects", run.get("defects") or "none"),
    ]
    if device.get("fingerprint"):
        pairs.append(("profile SHA-256", device["fingerprint"]))
    return _shown(pairs)


def bench_facts(report: ReportData) -> Pairs:
    """What the run was made with."""
    run = report.run
    backends = {recording.backend for recording in report.recordings}
    versions = run.get("versions")
    armed = _armed(run)
    return _shown(
        [
            ("bench", run.get("bench") or _one(r.bench for r in report.recordings)),
            ("backend", run.get("backend") or _one(backends)),
            ("why this bench", run.get("bench_reason")),
            ("host", run.get("host")),
            ("kernel", run.get("kernel")),
            ("versions", versions if versions else NONE),
            ("git commit", _commit(run)),
            ("requirements SHA-256", run.get("catalogue_sha256")),
            *([("device armed", armed)] if armed else []),
        ]
    )


def run_facts(report: ReportData) -> Pairs:
    """When, with which seed, for whom, and the hash that names the content."""
    run = report.run
    order = run.get("order")
    return _shown(
        [
            ("start, end", f"{plain(_first(run, 'start', 'started')) or NONE} to "
                           f"{plain(_first(run, 'end', 'ended')) or NONE}"),
            ("seed", run.get("seed")),
            ("trials per behaviour", run.get("trials")),
            ("completion", run.get("completion") or "not recorded"),
            ("content hash", run.get("content_hash") or "not recorded"),
            ("order", order if order and any(_values(order)) else "no order data given"),
            ("certification run", run.get("certify", False)),
            ("inconclusive allowed", run.get("allow_inconclusive", False)),
        ]
    )  # fmt: skip


def other_facts(report: ReportData) -> Pairs:
    """What run.json holds beyond the above: nothing it says stays hidden."""
    return _shown((k, v) for k, v in sorted(report.run.items()) if k not in _SHOWN)


def incompleteness(report: ReportData) -> str:
    """What an incomplete run means, in one line."""
    sessions, verdicts = len(report.recordings), len(report.verdicts)
    return (
        f"it did not come to its end (completion: {plain(report.run.get('completion')) or NONE}). "
        f"Shown is what was recorded: {sessions} session{'s' * (sessions != 1)}, "
        f"{verdicts} verdict{'s' * (verdicts != 1)}."
    )


def limitations(report: ReportData) -> list[str]:
    """What these results cannot show, by kind of bench, device and scenario."""
    run = report.run
    kinds = {r.bench for r in report.recordings} or {plain(run.get("bench"))}
    lines = []
    if report.simulated_device:
        lines.append(
            "The device is simulated by the bench. The results show that the requirements can be "
            "met and how they are judged; they say nothing about any real product."
        )
    if report.simulated_instruments:
        lines.append(
            f"Instruments are simulated: {', '.join(report.simulated_instruments)}. What they "
            "emitted and measured is a model's; no radio signal was there."
        )
    if run.get("defects"):
        lines.append(
            f"The device carries deliberate defects ({anything(run['defects'])}): failures are "
            "expected."
        )
    lines += [text for kind, text in _BY_BENCH.items() if kind in kinds]
    surrogates = sorted(
        {
            f"{_SURROGATES[window.kind]} ({plain(recording.scenario)})"
            for recording in report.recordings
            for window in recording.schedule.windows
            if window.kind in _SURROGATES
        }
    )
    if surrogates:
        lines.append(
            f"Radio events are IP-level surrogates: {', '.join(surrogates)}. Delay, loss, rate and "
            "interruption follow the typical shape of the event; no radio was involved."
        )
    lines += [
        "Delays are one way, between the taps at both network interfaces, unless a requirement "
        "names other reference points. Delay inside the device is not part of them.",
        "A behaviour shown in n of n planned trials is demonstrated for these trials; the stated "
        "confidence is what n trials show, no more.",
        "Entries marked self-reported rest on the device's own account.",
    ]
    return lines


_BY_BENCH = {
    "virtual": "Virtual bench: packets cross modelled links on a virtual clock. Effects of real "
    "operating systems, network stacks and clocks are not in these figures.",
    "local": "Local bench: real packets between network namespaces of one host, with one clock. "
    "The host's scheduling noise is in these figures and is shown as the noise floor; network "
    "hardware, cables and radio are not.",
    "lab": "Laboratory bench: delays between two network interfaces carry the offset of their "
    "clocks as an uncertainty term.",
}


def _armed(run: Mapping[str, Any]) -> str:
    """Who made a real device ready, when, for how long, and what was done; empty: no record."""
    laboratory = run.get("laboratory")
    found = laboratory.get("arming") if isinstance(laboratory, Mapping) else None
    if not isinstance(found, Mapping):
        return ""
    steps = ", ".join(plain(step).replace("_", " ") for step in found["steps"])
    hours = f"{found['holds_s'] / 3600:g} h"
    return f"by {plain(found['by'])}, {plain(found['at'])}, for {hours}: {steps}"


def _commit(run: Mapping[str, Any]) -> str:
    commit = plain(_first(run, "git_commit", "commit"))
    return f"{commit} with uncommitted changes" if commit and run.get("git_changed") else commit


def _one(values: Iterable[str]) -> str | None:
    return ", ".join(sorted(set(values))) or None


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else [value]


def _shown(pairs: Iterable[tuple[str, Any]]) -> Pairs:
    return [(plain(name).replace("_", " "), anything(value)) for name, value in pairs]
