"""``bench check FILE``: each piece that is missing is told with its remedy; acceptance."""

from __future__ import annotations

import datetime
import json

import pytest

from bench.benches.lab.acceptance import accept, acceptance_path, acceptances, standing
from bench.benches.lab.checking import Checked, _nics, check_laboratory
from bench.benches.lab.file import SHIPPED, load_bench_file
from bench.benches.lab.laboratory import Laboratory
from bench.devices.registry import find_device
from bench.errors import InputError
from instruments.visa.transcript import Transcript
from tests.support.bench_files import served, written

DAY = datetime.date(2026, 11, 30)
ROBOT = find_device("tele-ultrasound-robot")
FAULTS = "[[simulated.paths]]"
QUICK = ('reply = "5s"', 'reply = "150ms"')


def checked(path, tmp_path, device=None) -> Checked:
    file = load_bench_file(path)
    return check_laboratory(file, device, on=DAY, lock_folder=tmp_path / "locks")[0]


def missing(found: Checked) -> dict[str, str]:
    return {f.what: f"{f.figure}; {f.remedy}" for f in found.findings if f.status == "missing"}


def test_the_shipped_laboratory_lacks_nothing_for_the_robot(tmp_path) -> None:
    found = checked(SHIPPED, tmp_path, ROBOT)
    assert found.complete
    paths = [f.what for f in found.findings if f.what.startswith("paths")]
    assert paths == ["paths at 3500 MHz", "paths at 3560 MHz", "paths at 3490 MHz"]
    assert all(one["simulated"] and not one["certifiable"] for one in found.standing)


def test_everything_that_is_missing_is_told_at_once(tmp_path) -> None:
    links = '[links.primary]\nleft = { name = "nic-7" }\nright = { name = "nic-8" }\n[verification]'
    path = written(
        tmp_path,
        (FAULTS, f'[simulated.faults]\nanalyser = ["identity=Acme,X,1,1"]\n{FAULTS}'),
        ("[verification]", links),
        ('packets = "virtual"', 'packets = "links"'),
        calibration=("due = 2099-12-31", "due = 2026-11-29"),
    )
    found = missing(checked(path, tmp_path))
    assert set(found) == {
        "analyser", "calibration generator level", "paths", "link primary", "safe state"
    }  # fmt: skip
    assert "manufacturer is 'Acme'" in found["analyser"]
    assert "expired on 2026-11-29" in found["calibration generator level"]
    assert "not tried without analyser" in found["paths"]
    assert "nothing is known of analyser" in found["safe state"]
    assert "is no interface of this network namespace" in found["link primary"]


def test_the_interfaces_to_a_radio_between_are_looked_for_too(tmp_path) -> None:
    ends = 'left = { name = "lo" }\nright = { name = "lo" }\n'
    radio = 'radio = { left = { name = "lo" }, right = { name = "nic-9" } }\n'
    said = []
    for number, link in enumerate((ends, ends + radio)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        path = written(
            folder,
            ("[verification]", f"[links.primary]\n{link}[verification]"),
            ('packets = "virtual"', 'packets = "links"'),
        )
        said += [f.figure for f in _nics(load_bench_file(path))]
    assert said[0] != said[1] == "is no interface of this network namespace"


@pytest.mark.parametrize(
    ("fault", "where", "what"),
    [
        ('generator = ["drift=-2@POW?"]', "paths at 3050 MHz", "from what is set"),
        ('generator = ["refuse"]', "generator", "onnect"),
        ('attenuator = ["mute@ATT?"]', "attenuator", "no answer"),
        ('supply = ["error=-310@OUTP"]', "supply", "-310"),
    ],
)
def test_a_faulty_instrument_is_found(tmp_path, fault, where, what) -> None:
    quick = [QUICK] * 4
    path = written(tmp_path, (FAULTS, f"[simulated.faults]\n{fault}\n{FAULTS}"), *quick)
    assert what in missing(checked(path, tmp_path))[where]


def test_a_calibration_that_ends_soon_or_does_not_reach(tmp_path) -> None:
    path = written(tmp_path, calibration=("due = 2099-12-31", "due = 2026-12-11"))
    found = {f.what: f for f in checked(path, tmp_path, ROBOT).findings}
    assert found["calibration generator level"].status == "degraded"
    assert found["calibration analyser level"].status == "ok"
    path = written(tmp_path, calibration=("3.8GHz", "3.52GHz"))
    found = missing(checked(path, tmp_path, ROBOT))
    assert "covers 2300 to 3520 MHz, and 3560 MHz is" in found["calibration generator level"]
    assert "paths at 3560 MHz" in found
    assert "paths at 3500 MHz" not in found


def test_hardware_is_accepted_as_it_stands_and_no_other(tmp_path) -> None:
    with served(tmp_path) as (path, hardware):
        file = load_bench_file(path)
        locks = tmp_path / "locks"
        found, laboratory = check_laboratory(file, None, on=DAY, lock_folder=locks, exercise=True)
        assert not missing(found)
        assert "settings: current_a, voltage_v" in found.verified["supply"]
        assert "serving cell twice: LTE 001-01 cell ABC01" in found.verified["modem"][2]
        assert not hardware.state().emissions, "its cells are off again"
        assert not any(one["certifiable"] for one in found.standing)
        degraded = [f.what for f in found.findings if f.status == "degraded"]
        assert degraded == [*file.instruments, *file.modems]
        assert laboratory is not None
        seen = {role: found.verified[role] for role in ("generator", "attenuator", "modem")}
        accept(path, laboratory, seen, DAY)
        assert "identity and safe state" in acceptances(path)[0].verified
        assert any("path at 3050 MHz" in text for text in acceptances(path)[0].verified)

        def now() -> dict[str, bool]:
            with Laboratory(file, Transcript(), on=DAY, lock_folder=locks) as lab:
                return {
                    str(one["role"]): bool(one["certifiable"])
                    for one in standing(lab, acceptances(path))
                }

        assert {role for role, accepted in now().items() if accepted} == set(seen)
        hardware.instruments[
            "generator"
        ].identity = "Rohde&Schwarz,SMW200A,1412.0000K02/000001,5.40"  # another firmware
        assert [role for role, accepted in now().items() if accepted] == ["attenuator", "modem"]
        data = json.loads(acceptance_path(path).read_text())
        acceptance_path(path).write_text(json.dumps({**data, "format": 2}))
        with pytest.raises(InputError, match=r"is no record of acceptances \(format 2\)"):
            acceptances(path)


def test_an_instrument_that_certifies_nothing_leaves_no_verdict_to_certify() -> None:
    from bench.sessions.instruments import instruments_event, not_certifiable

    one = {"role": "generator", "certifiable": False, "reason": "is simulated"}
    other = {"role": "analyser", "certifiable": True, "reason": ""}

    class Recorded:
        def named(self, name: str, side: str):
            return [event for event in (instruments_event([one, other]),) if event.name == name]

    assert not_certifiable([Recorded()]) == ("generator: is simulated",)
