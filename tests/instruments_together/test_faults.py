"""Random faults of the simulators in random programs of the drivers: never a wrong number.

``./run proof --only instruments`` runs the same code over many more seeds.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import instrument_faults as faults
from instruments.rf import analysers
from instruments.rf.generators import RohdeSchwarzSmw
from instruments.safety import SafeState
from instruments.simulators.faults import FAULTS, read_fault
from instruments.simulators.lab import Described, Lab, RunningLab
from instruments.visa.errors import (
    BadAnswer,
    Broken,
    DeadlinePassed,
    LinkLost,
    NotAResult,
    NotSafe,
    Reported,
    Unreachable,
    WrongIdentity,
)
from instruments.visa.resources import Identity, Resource
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript

SEEDS = range(70)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "REPLY_S", 0.05)
        folder = tmp_path_factory.mktemp("faults")
        return [faults.run(seed, folder) for seed in SEEDS]


def test_no_number_is_wrong_and_no_safe_state_is_only_said(found) -> None:
    figures = faults.summed(found)
    assert figures["wrong"] == []
    assert figures["unsafe"] == []
    assert figures["other"] == []
    assert figures["right"] > 50
    assert figures["refused"] > 20


def test_without_faults_nothing_is_refused(found) -> None:
    controls = [one for one in found if not one.faults]
    assert len(controls) == len(SEEDS) / 10
    assert all(one.refused == 0 for one in controls)
    assert sum(one.right for one in controls) > 25


def test_every_driver_and_every_fault_was_there(found) -> None:
    assert {one.role for one in found} == set(faults.SUBJECTS)
    assert set(faults.summed(found)["by_fault"]) == set(FAULTS) - {"drift"}


def test_a_driver_that_believes_late_answers_is_found(tmp_path, monkeypatch) -> None:
    """The count of wrong numbers can be other than 0."""
    monkeypatch.setattr(faults, "REPLY_S", 0.05)

    def believing(one, sim, rng):
        one.channel._line.exchange("VOLT? (@2)", 0.02, True)
        return []

    def late(one, sim, rng):
        with pytest.raises(faults.InstrumentError):
            believing(one, sim, rng)
        answer = one.channel._line.exchange("CURR? (@2)", 5.0, True)
        return [("current", float(answer), sim.number("amperes", 2))]

    subject = faults.SUBJECTS["supply"]
    changed = replace(subject, act=late)
    monkeypatch.setattr(faults, "SUBJECTS", {"supply": changed})
    monkeypatch.setattr(faults, "draw_faults", lambda rng, subject: ("late@VOLT?x1",))
    assert faults.run(1, tmp_path, actions=1).wrong


def test_an_interrupted_proof_goes_on_where_it_was(tmp_path, monkeypatch) -> None:
    path = tmp_path / "results" / "faults.jsonl"
    carried_out: list[int] = []

    def run(seed: int, folder) -> faults.Done:
        carried_out.append(seed)
        if seed == 2 and len(carried_out) == 3:
            raise KeyboardInterrupt
        return faults.Done(seed, "supply", ())

    monkeypatch.setattr(faults, "run", run)
    with pytest.raises(KeyboardInterrupt):
        faults.proof(4, lambda: None, path)
    assert faults.proof(4, lambda: None, path)["runs"] == 4
    assert carried_out == [0, 1, 2, 2, 3]
    monkeypatch.setattr(faults, "state_of_the_project", lambda: "another")
    faults.proof(1, lambda: None, path)
    assert carried_out[-1] == 0


@pytest.mark.parametrize(
    ("fault", "error", "tainted"),
    [
        ("delay=1h@FREQ?x1", DeadlinePassed, True),
        ("late@FREQ?x1", DeadlinePassed, True),
        ("half@FREQ?x1", DeadlinePassed, True),
        ("mute@FREQ?x1", DeadlinePassed, True),
        ("drop@FREQ?x1", (DeadlinePassed, LinkLost), True),
        ("reboot=0s@FREQ?x1", (DeadlinePassed, LinkLost, Broken), True),
        ("refuse@FREQ?x1", Broken, True),
        ("error@FREQ?x1", Reported, False),
        ("no-result@FREQ?x1", NotAResult, False),
    ],
)
def test_each_fault_ends_as_it_should_and_is_recovered_from(
    tmp_path, fault, error, tainted
) -> None:
    described = Described("signal-generator", faults=(read_fault(fault),))
    with RunningLab(Lab({"one": described})) as lab:
        where = Resource(
            "one", lab.resources["one"], Identity("Rohde&Schwarz", "SMW200A"), "\n", "\n", 2.0, 0.4
        )
        with Session(where, Transcript(), lock_folder=tmp_path) as live:
            generator = RohdeSchwarzSmw(live)
            generator.level_dbm = -42.0
            with pytest.raises(error):
                _ = generator.frequency_hz
            assert bool(live.taints) == tainted
            if fault.startswith("refuse"):
                with pytest.raises(NotSafe, match="refused"):
                    SafeState([generator]).make_safe()
                return
            SafeState([generator]).make_safe()  # a session that is broken is made anew by this
            assert generator.frequency_hz == 1e9
            assert generator.level_dbm == -42.0
            assert lab.lab.instruments["one"].number("level", 1) == -42.0


@pytest.mark.parametrize("fault", ["identity", "mute@*IDN?", "drop@*IDN?", "no-result@*IDN?"])
def test_who_does_not_say_who_it_is_is_not_opened(tmp_path, fault) -> None:
    described = Described("signal-generator", faults=(read_fault(fault),))
    with RunningLab(Lab({"one": described})) as lab:
        where = Resource(
            "one", lab.resources["one"], Identity("Rohde&Schwarz", "SMW200A"), "\n", "\n", 2.0, 0.4
        )
        with (
            pytest.raises((WrongIdentity, Unreachable, BadAnswer)),
            Session(where, Transcript(), lock_folder=tmp_path),
        ):
            pytest.fail("opened")


def test_a_sweep_that_never_ends_gives_no_level(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(analysers, "SWEEP_S", 0.2)
    described = Described("spectrum-analyser", faults=(read_fault("stuckx1"),))
    with RunningLab(Lab({"one": described})) as lab:
        where = Resource(
            "one", lab.resources["one"], Identity("Rohde&Schwarz", "FSW-13"), "\n", "\n", 2.0, 2.0
        )
        with Session(where, Transcript(), lock_folder=tmp_path) as live:
            analyser = analysers.RohdeSchwarzFs(live)
            with pytest.raises(DeadlinePassed):
                analyser.peak()
            assert analyser.peak()[0].valid
