"""bench prove: defects are caught at their stated size, healthy devices pass near their limits."""

from __future__ import annotations

import dataclasses

import pytest

from bench.devices.defects import DEFECTS, MARGINS, can_have, traits_of
from bench.devices.registry import find_device, names
from bench.errors import InputError
from bench.measure.behaviours import BEHAVIOURS
from bench.requirements.loader import load_catalogue
from bench.studies import prove as study
from bench.studies import prove_run
from bench.studies.prove_run import Hands, Wish, prove, subjects_of
from bench.studies.prove_units import Done, Seen, Unit, carry_out

CATALOGUE = load_catalogue()
ROBOT = "telesurgery-robot"
SIZE_TO_LIMIT = 1.5


class Nobody:
    """A watch that counts."""

    def __init__(self):
        self.ticks = 0

    def begin(self, what, total):
        pass

    def tick(self):
        self.ticks += 1

    def end(self):
        pass


def here(**fields):
    return Hands(Nobody(), processes=1, **fields)


@pytest.fixture(scope="module")
def subjects():
    return subjects_of(Wish())


@pytest.fixture(scope="module")
def cases(subjects):
    defects = study.chosen_defects({}, subjects)
    return study.faulty(subjects, defects, CATALOGUE, everywhere=False)


@pytest.fixture(scope="module")
def one_seed(cases):
    """A fraction of ``./run proof --only prove``: what has a size, and some of the others.

    Of these none whose session takes minutes.
    """

    def some(place, case):
        return place % 5 == 0 and min(look.length_s for look in case.looks) < 100.0

    return [
        study._result(case, [carry_out(case.unit(3 + place))])
        for place, case in enumerate(cases)
        if DEFECTS[case.defect].timed or some(place, case) or not {*case.breaks} <= {*BEHAVIOURS}
    ]


def test_every_defect_is_run_on_a_device(cases):
    assert {case.defect for case in cases} == set(DEFECTS)
    assert len(cases) == len(DEFECTS)


def test_defects_are_caught_at_their_stated_size(one_seed):
    assert [(d.defect, d.note) for d in one_seed if not d.certain] == []
    assert all(set(d.by) == set(d.breaks) for d in one_seed)


def test_no_stated_size_is_far_beyond_the_limit_that_it_breaks(one_seed):
    timed = [d for d in one_seed if d.timed and d.unit == "s"]
    assert timed
    for found in timed:
        assert found.size <= SIZE_TO_LIMIT * found.limit, found.defect


def test_healthy_devices_pass_also_near_their_limits(subjects):
    """Some scenarios of some devices, a third of them near the limits."""
    units = [u for u in study.healthy_units(subjects, CATALOGUE, 2) if u[0].seed == 2]
    assert 0.2 < sum(near for _, near in units) / len(units) < 0.5
    step = max(1, len(units) // 6)
    units = units[:: step + (step % study.NEAR_EVERY == 0)]  # not the same third of them all
    assert {near for _, near in units} == {True, False}
    found = study.prove_healthy(units, here())
    assert found.notable == ()
    assert found.sessions == len(units)
    assert (found.false_fail, found.inconclusive, found.error) == (0, 0, 0)


@pytest.mark.parametrize("name", names())
def test_every_simulated_device_declares_what_it_is_asked_for(name):
    """In no plan a verdict stays open for want of a declaration; reports say that they are none."""
    device = find_device(name)
    for stream in device.active_streams:
        beside = {"dicom", "records"} & set(stream.kinds)  # by D:image_rate and D:backfill_within
        assert beside or None not in (stream.most_delay_s, stream.most_loss), stream.name
    asked = {r.id for r in CATALOGUE.values() if r.kind == "declaration"}
    assert set(device.declarations) == asked
    for said in device.declarations.values():
        assert said.report.startswith("simulated: ")
        assert said.laboratory.startswith("none: ")
    ways = [function for function in device.functions if function.startswith("access-")]
    assert device.declares["access_methods"] == len(ways)


def test_a_profile_that_leaves_things_out_is_inconclusive_and_says_what(subjects):
    """A healthy glucose meter whose maker tells nothing of networks: open, and no false FAIL."""
    meter = next(s for s in subjects if s.device.name == "glucose-meter")
    kept = {k: v for k, v in meter.device.declares.items() if not k.startswith(("site_", "access"))}
    device = dataclasses.replace(meter.device, declares=kept)
    candidates = tuple(c for c in meter.candidates if c.requirement in ("CON-2", "ENV-1"))
    units = study.healthy_units([study.Subject(device, candidates)], CATALOGUE, 1)
    found = study.prove_healthy(units, here())
    assert (found.verdicts, found.inconclusive, found.false_fail) == (2, 2, 0)
    assert "CON-2: not declared: D:access_methods" in found.notable[0]
    assert "not declared: D:site_delay_s" in found.notable[1]


def test_a_defect_without_a_size_is_as_large_as_its_device_asks(subjects):
    """The same late alarm breaks the longer deadlines of a monitor; an asked size is kept."""
    alike = [s for s in subjects if s.device.name in (ROBOT, "icu-bed")]
    stated = study.faulty(alike, {"late-alarm": None}, CATALOGUE, everywhere=True)
    assert {case.device.name: case.size for case in stated} == pytest.approx(
        {ROBOT: 0.5, "icu-bed": 0.85}
    )
    for case in stated:
        result = study._result(case, [carry_out(case.unit(1))])
        assert (result.certain, result.size <= SIZE_TO_LIMIT * result.limit) == (True, True)
    asked = study.faulty(alike, {"late-alarm": 0.7}, CATALOGUE, everywhere=True)
    assert {case.size for case in asked} == {0.7}


def test_a_defect_runs_on_the_first_machine_that_it_names(subjects):
    """The machines share the defects of the log between them."""
    wanted = {"log-lacks-operator": "orthopaedic-robot", "log-lacks-alarms": "ambulance",
              "log-mistimed": "vr-trainer", "log-unchecked": "mobile-dr-ct"}  # fmt: skip
    cases = study.faulty(subjects, dict.fromkeys(wanted), CATALOGUE, everywhere=False)
    assert {case.defect: case.device.name for case in cases} == wanted
    meter = [s for s in subjects if s.device.name == "glucose-meter"]
    (only,) = study.faulty(meter, {"log-mistimed": None}, CATALOGUE, everywhere=False)
    assert only.device.name == "glucose-meter"


@pytest.mark.parametrize("name", MARGINS)
def test_a_margin_changes_a_device(name):
    """It changes how some device behaves, and says which requirements it keeps."""
    assert name not in DEFECTS
    assert set(MARGINS[name].keeps) <= {r.id for r in CATALOGUE.values()}
    devices = [find_device(each) for each in names()]
    assert any(traits_of(d.with_defects({name: 0.95})) != traits_of(d) for d in devices)


def test_the_same_wish_gives_the_same_answer_and_known_units_are_not_run_again(monkeypatch):
    monkeypatch.setattr(study, "BISECTIONS", 2)
    wish = Wish(
        devices=(ROBOT,), defects=("slow-local-stop",), seeds=1, healthy_seeds=1, find_size=True
    )
    kept = {}
    first = prove(wish, here(keep=lambda done: kept.__setitem__(done.key, done)))
    (result,) = first.defects
    assert (result.detected_in, result.seeds, result.by) == (1, 1, ("LOC-1",))
    assert result.by_seeds == {"LOC-1": 1}
    assert 0.05 < result.certain_from <= 0.05 + 0.07 / 2**study.BISECTIONS
    assert (first.ok, first.healthy.sessions, first.healthy.devices) == (True, 1, (ROBOT,))

    def never(done):
        raise AssertionError(f"{done.key} was carried out again")

    again = prove(wish, here(known=kept, keep=never))
    assert again.healthy == first.healthy
    assert again.defects == first.defects


def test_what_is_not_detected_is_said():
    wish = Wish(devices=(ROBOT,), defects=("slow-local-stop=20ms",), seeds=1, healthy_seeds=0)
    found = prove(wish, here())
    (result,) = found.defects
    assert not found.ok
    assert (result.detected_in, result.by) == (0, ())
    assert result.note.startswith("seed 1: LOC-1 in local-stop: PASS")


def test_a_chosen_plan_answers_for_the_defects_that_it_judges():
    wish = Wish(plans=("local_control",), devices=(ROBOT,), seeds=1, healthy_seeds=0)
    found = prove(wish, here())
    judged = {result.defect for result in found.defects}
    assert "slow-local-stop" in judged
    assert found.ok, "what it does not judge is no failure of it"
    every = set(study.chosen_defects({}, subjects_of(wish)))
    assert judged | set(found.left_out) == every
    assert "late-alarm" in found.left_out
    named = prove(dataclasses.replace(wish, defects=("late-alarm",)), here())
    assert [d.detected_in for d in named.defects] == [0], "one that is named is not left out"


@pytest.mark.parametrize(
    ("defect", "has", "has_not"),
    [
        ("plaintext-stream", "telesurgery-robot", "rehabilitation-arm"),
        ("log-lacks-patient-alarms", "icu-bed", "capsule-endoscope"),
        ("thin-touch", "orthopaedic-robot", "telesurgery-robot"),
        ("thin-touch", "orthopaedic-robot", "vr-trainer"),
    ],
)
def test_a_device_cannot_have_what_would_spoil_nothing(defect, has, has_not):
    assert can_have(find_device(has), DEFECTS[defect])
    assert not can_have(find_device(has_not), DEFECTS[defect])


def test_a_defect_that_would_spoil_nothing_is_refused():
    wish = Wish(devices=("capsule-endoscope",), defects=("log-lacks-patient-alarms",))
    with pytest.raises(InputError, match="it has nothing that this would spoil"):
        prove(wish, here())


def test_inconclusive_is_not_detection(cases):
    case = next(case for case in cases if case.defect == "slow-local-stop")
    seen = Seen("LOC-1", "local-stop", "INCONCLUSIVE", 0.05, "s", "a tap lost packets")
    result = study._result(case, [Done(case.unit(1).key, 1, (seen,))])
    assert (result.detected_in, result.certain) == (0, False)


def test_a_defect_that_no_plan_judges_is_not_detected(subjects):
    robot = next(s for s in subjects if s.device.name == ROBOT)
    without = dataclasses.replace(
        robot, candidates=tuple(c for c in robot.candidates if c.requirement != "LOC-1")
    )
    (case,) = study.faulty([without], {"slow-local-stop": 0.07}, CATALOGUE, everywhere=False)
    result = study._result(case, [carry_out(case.unit(1))])
    assert (result.detected_in, result.sessions) == (0, 0)
    assert result.note == f"no test judges LOC-1 on {ROBOT}"


def test_a_false_fail_counts(subjects):
    """A healthy robot that declares less than it needs."""
    robot = next(s for s in subjects if s.device.name == ROBOT)
    device = dataclasses.replace(
        robot.device, declares={**robot.device.declares, "safe_state_within_s": 0.3}
    )
    candidates = tuple(c for c in robot.candidates if c.requirement == "FAIL-3")
    units = study.healthy_units([study.Subject(device, candidates)], CATALOGUE, 1)
    found = study.prove_healthy(units, here())
    assert (found.sessions, found.false_fail) == (4, 3), "one in each blackout but the brief one"
    assert "FAIL FAIL-3" in found.notable[0]
    assert not study.Proved((), found).ok


def test_a_device_that_raises_is_an_error_and_no_detection(monkeypatch, cases):
    from bench.devices.robot.patient import PatientSide

    def broken(self, now_ns):
        raise ZeroDivisionError("a bug in the device")

    monkeypatch.setattr(PatientSide, "start", broken)
    case = next(case for case in cases if case.defect == "slow-local-stop")
    done = carry_out(case.unit(1))
    assert [s.verdict for s in done.seen] == ["ERROR"]
    assert "a bug in the device" in done.seen[0].reason
    assert not study._result(case, [done]).certain


def test_two_processes_give_what_one_gives(monkeypatch, cases):
    monkeypatch.setattr(prove_run, "WORTH_A_POOL", 2)
    case = next(case for case in cases if case.defect == "slow-local-stop")
    units = [case.unit(seed) for seed in range(1, 4)]
    with Hands(Nobody(), processes=2) as hands:
        parallel = {done.key: done for done in hands(units)}
    assert parallel[units[0].key] == carry_out(units[0])
    assert len(parallel) == len(units)


@pytest.mark.parametrize(
    ("wish", "parts"),
    [
        (Wish(seeds=0), ("--seeds", "10")),
        (Wish(defects=("slow-local-stop=",), devices=("nobody",)), ("nobody",)),
        (Wish(defects=("nonsense",)), ("--defect", "nonsense", "late-alarm")),
        (Wish(defects=("old-sequence=3s",)), ("old-sequence", "no size")),
        (Wish(plans=("nowhere",)), ("PLAN", "nowhere")),
    ],
)
def test_bad_input_is_one_line(wish, parts):
    with pytest.raises(InputError) as found:
        prove(wish, here())
    for part in parts:
        assert part in str(found.value)


def test_every_device_can_have_a_defect():
    """A device that nothing can be wrong with proves nothing."""
    for name in names():
        device = find_device(name)
        assert any(can_have(device, defect) for defect in DEFECTS.values()), name


def test_units_are_plain_data(cases):
    import pickle

    unit = cases[0].unit(1)
    assert isinstance(unit, Unit)
    assert pickle.loads(pickle.dumps(unit)) == unit
