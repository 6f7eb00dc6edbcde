"""A simulated laboratory with one instrument of each driver, and the bench file that reaches it."""

from __future__ import annotations

from pathlib import Path as FilePath

from bench.network.radio.state import Cell
from bench.network.radio.world import Path, World
from instruments.files import Configured, load_instruments
from instruments.simulators.faults import read_fault
from instruments.simulators.lab import Described, Lab, RunningLab

SIMULATED = {
    "smw": Described("signal-generator", "smw"),
    "mxg": Described("signal-generator", "mxg"),
    "fsx": Described("spectrum-analyser", "fsx"),
    "x": Described("spectrum-analyser", "x-series"),
    "attenuator": Described("attenuator"),
    "attenuator2": Described("attenuator"),
    "switch": Described("switch"),
    "supply": Described("power-supply"),
    "scope": Described("oscilloscope"),
    "tester": Described("radio-tester"),
    "modem": Described("modem"),
}
WORLD = World(
    cells={"tester:1": Cell(0xABC01, 17, 5, 300, 1), "tester:2": Cell(0xABC02, 18, 5, 300, 1)},
    paths=(
        Path("smw:1", "fsx:1", ((0.0, 3.0),), ("attenuator:1",), (("switch:A", 2),)),
        Path("mxg:1", "x:1", ((0.0, 7.0),), ("attenuator2:1",)),
        Path("tester:1", "modem:1", ((0.0, 10.0),)),
        Path("tester:2", "modem:1", ((0.0, 20.0),)),
    ),
)
_KINDS = {
    "smw": ("rohde-schwarz-smw", "Rohde&Schwarz", "SMW200A", ""),
    "mxg": ("keysight-mxg", "Keysight Technologies", "N5182B", ""),
    "fsx": ("rohde-schwarz-fs", "Rohde&Schwarz", "FSW-13", ""),
    "x": ("keysight-x", "Keysight Technologies", "N9020B", ""),
    "attenuator": ("mini-circuits-rcdat", "Mini-Circuits", "RCDAT-6000-90", ""),
    "attenuator2": ("mini-circuits-rcdat-scpi", "Mini-Circuits", "RCDAT-6000-90", ""),
    "switch": ("mini-circuits-spdt", "Mini-Circuits", "RC-4SPDT-A18", "switches = 4"),
    "supply": (
        "keysight-e36312a", "Keysight Technologies", "E36312A",
        "output = 2\nlimits = { voltage_v = [0, 12], current_a = [0, 1] }",
    ),
    "scope": ("keysight-infiniivision", "KEYSIGHT TECHNOLOGIES", "DSO-X 3054T", ""),
    "tester": ("rohde-schwarz-cmw500-lte", "Rohde&Schwarz", "CMW", ""),
}  # fmt: skip
HTTP = ("attenuator",)


def running(*roles: str, faults: dict[str, tuple[str, ...]] | None = None) -> RunningLab:
    """These instruments (all, where none is named), in one world."""
    chosen = {role: SIMULATED[role] for role in roles or SIMULATED}
    for role, texts in (faults or {}).items():
        one = chosen[role]
        chosen[role] = Described(one.kind, one.dialect, 0, tuple(read_fault(t) for t in texts))
    return RunningLab(Lab(chosen, WORLD))


def bench_file(lab: RunningLab, path: FilePath, reply: str = "5s") -> dict[str, Configured]:
    """Write the bench file of a running laboratory, and read it."""
    parts = []
    for role, (kind, manufacturer, model, more) in _KINDS.items():
        if role in lab.resources:
            address = lab.urls[role] if role in HTTP else lab.resources[role]
            line_end = r"\r\n" if kind.startswith("mini-circuits") else r"\n"
            ends = f'write_termination = "{line_end}"\nread_termination = "{line_end}"'
            parts.append(
                f'[instruments.{role}]\nkind = "{kind}"\naddress = "{address}"\n'
                f'manufacturer = "{manufacturer}"\nmodel = "{model}"\nconnect = "5s"\n'
                f'reply = "{reply}"\n{"" if role in HTTP else ends}\n{more}\n'
            )
    path.write_text("\n".join(parts), encoding="utf-8")
    return load_instruments(path)
