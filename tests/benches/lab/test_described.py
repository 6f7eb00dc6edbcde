"""Instruments that a file describes, in a laboratory: safe as all others, no driver of a use."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bench.benches.lab.acceptance import accept, acceptances, standing
from bench.benches.lab.checking import check_laboratory
from bench.benches.lab.file import load_bench_file
from bench.benches.lab.laboratory import Laboratory
from bench.errors import InputError
from instruments.visa.errors import DeadlinePassed, NotSafe
from instruments.visa.transcript import Transcript
from tests.support.bench_files import written
from tests.support.scripted import Peer, Script

DAY = datetime.date(2026, 11, 30)
AMPLIFIER = """title = "Acme PA-1 power amplifier"
family = "amplifier"
manufacturer = "Acme"
models = ["PA-1"]
manual = "Acme PA-1 Programming Manual"

[settings.output]
set = "OUTP {value}"
get = "OUTP?"
values = { on = ["1"], off = ["0"] }
source = "3.1 OUTPut"
"""
SAFE = '[safe]\ncommands = ["OUTP 0"]\nanswers = { "OUTP?" = "0" }\n'
TITLE = 'title = "Amplifier"\n'
BOUND = """[instruments.amplifier]
kind = "generic"
description = "amplifier.toml"
address = "{address}"
manufacturer = "Acme"
model = "PA-1"
write_termination = "\\n"
read_termination = "\\n"
connect = "5s"
reply = "{reply}"
"""


@contextmanager
def amplifier(
    folder: Path, *, safe: str = SAFE, reply: str = "5s", among: bool = False
) -> Iterator[tuple[Path, Script]]:
    """A bench file with an amplifier whose output is on; ``among``: a whole laboratory."""
    script = Script(state={"OUTP": "1"}, table={"*IDN?": "Acme,PA-1,7,1.0"})
    with Peer(script) as peer:
        (folder / "amplifier.toml").write_text(AMPLIFIER + safe)
        bound = BOUND.format(address=peer.address, reply=reply)
        if among:
            path = written(folder, ("[cells]", f"{bound}\n[cells]"))
        else:
            path = folder / "lab.toml"
            path.write_text(TITLE + bound)
        yield path, script


def laboratory(path: Path, folder: Path) -> Laboratory:
    return Laboratory(load_bench_file(path), Transcript(), on=DAY, lock_folder=folder / "locks")


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_an_amplifier_is_off_once_taken_and_however_it_is_left(tmp_path, error) -> None:
    with amplifier(tmp_path) as (path, script):
        with suppress(RuntimeError, KeyboardInterrupt), laboratory(path, tmp_path) as lab:
            assert script.state["OUTP"] == "0"
            assert script.lines[-1] == "SYST:ERR?"
            assert script.lines.index("OUTP 0") < script.lines.index("OUTP?")
            lab.instruments["amplifier"].output = "on"  # type: ignore[attr-defined]
            assert script.state["OUTP"] == "1"
            if error is not None:
                raise error
        assert script.state["OUTP"] == "0"


def test_an_amplifier_that_stays_on_is_told(tmp_path) -> None:
    with amplifier(tmp_path) as (path, script):
        lab = laboratory(path, tmp_path).__enter__()
        script.state["OUTP"] = "1"
        script.frozen.add("OUTP")
        with pytest.raises(NotSafe, match="OUTP"):
            lab.__exit__(None, None, None)


def test_what_is_described_is_off_with_what_emits_and_before_what_holds_back(tmp_path) -> None:
    with amplifier(tmp_path, among=True) as (path, _), laboratory(path, tmp_path) as lab:
        order = [one.channel.role for one in lab._safeable()]
    assert order.index("amplifier") < order.index("attenuator") < order.index("supply")


def test_a_session_made_anew_leaves_the_output_off(tmp_path) -> None:
    with amplifier(tmp_path, reply="200ms") as (path, script), laboratory(path, tmp_path) as lab:
        lab.instruments["amplifier"].output = "on"  # type: ignore[attr-defined]
        with pytest.raises(DeadlinePassed):
            lab.sessions["amplifier"].query("NONE?")
        assert script.state["OUTP"] == "0"


def test_what_has_no_safe_state_is_named(tmp_path) -> None:
    with amplifier(tmp_path, safe="") as (path, script):
        file = load_bench_file(path)
        found, _ = check_laboratory(file, None, on=DAY, lock_folder=tmp_path / "locks")
        assert script.state["OUTP"] == "1"
    safe = next(one for one in found.findings if one.what == "safe state")
    assert (safe.status, "none is described for amplifier" in safe.figure) == ("degraded", True)
    assert "identity and safe state" not in found.verified.get("amplifier", ())


def test_a_described_instrument_is_no_driver_of_a_use(tmp_path) -> None:
    with amplifier(tmp_path, among=True) as (path, _):
        description = tmp_path / "amplifier.toml"
        description.write_text(
            description.read_text().replace('= "amplifier"', '= "signal-generator"')
        )
        text = path.read_text()
        path.write_text(text.replace('interferer = "generator"', 'interferer = "amplifier"'))
        with pytest.raises(InputError, match=r"is described in a file") as caught:
            load_bench_file(path)
    error = caught.value
    assert (error.file, error.field, error.value) == (str(path), "roles.interferer", "amplifier")
    assert "name a signal-generator of another kind" in error.remedy


def test_another_description_is_not_covered_by_an_acceptance(tmp_path) -> None:
    with amplifier(tmp_path) as (path, _):
        checked, lab = check_laboratory(
            load_bench_file(path), None, on=DAY, lock_folder=tmp_path / "locks", exercise=True
        )
        assert lab is not None
        accept(path, lab, {"amplifier": checked.verified["amplifier"]}, DAY)

        def certifiable() -> bool:
            with laboratory(path, tmp_path) as now:
                (one,) = standing(now, acceptances(path))
            return bool(one["certifiable"])

        assert certifiable()
        description = tmp_path / "amplifier.toml"
        description.write_text(description.read_text().replace("3.1 OUTPut", "3.2 OUTPut"))
        assert not certifiable()
