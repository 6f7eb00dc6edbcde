"""What a class must answer for is not waived by leaving a function out of the profile."""

from __future__ import annotations

import dataclasses

import pytest

from bench.devices.load import CLASSES
from bench.devices.profile import FUNCTIONS
from bench.devices.registry import find_device, names
from bench.judge.compulsory import ASKED, COMPULSORY, MOVING, undeclared
from bench.judge.scope import Candidate
from bench.judge.verdict import Outcome
from bench.measure.behaviours import BEHAVIOURS
from bench.requirements.loader import load_catalogue
from bench.studies.effort import Effort
from bench.studies.failed import verdict_without_session
from bench.studies.planning import settle

CATALOGUE = load_catalogue()
ROBOT = find_device("telesurgery-robot")


def device(device_class, functions=(), without=()):
    return dataclasses.replace(
        ROBOT, device_class=device_class, functions=functions, without=without
    )


def settled(profile, requirement="LOC-1", needs=("motion",)):
    candidate = Candidate(requirement, "", "t", "local-stop", needs)
    return settle(
        [candidate], device=profile, requirements=CATALOGUE, bench="virtual", effort=Effort()
    )


def test_every_class_has_its_entry_and_every_id_is_known():
    assert set(COMPULSORY) == set(CLASSES)
    for entry in COMPULSORY.values():
        assert entry.ids <= set(BEHAVIOURS)
    assert COMPULSORY["therapy"].ids >= MOVING


@pytest.mark.parametrize("requirement", sorted(MOVING))
def test_a_therapy_device_that_is_silent_about_motion_is_inconclusive(requirement):
    for profile in (device("therapy"), device("therapy", without=("motion",))):
        found = settled(profile, requirement)
        (item,) = found.scope
        assert (item.in_scope, item.undeclared) == (True, ("motion",))
        assert "local-stop" not in found.sessions, "no session shows what nobody declared"
        verdict = verdict_without_session(item, CATALOGUE.get(requirement), profile, "2026-01-01")
        assert verdict is not None
        assert verdict.verdict is Outcome.INCONCLUSIVE
        assert verdict.reason.startswith("not declared: motion")
        assert verdict.reason.endswith("must have it in functions"), "nothing waives it"


@pytest.mark.parametrize("device_class", ["diagnosis", "rehabilitation"])
def test_elsewhere_it_is_left_out_only_where_the_profile_says_so(device_class):
    (silent,) = settled(device(device_class)).scope
    assert (silent.in_scope, silent.undeclared) == (True, ("motion",))
    verdict = verdict_without_session(
        silent, CATALOGUE.get("LOC-1"), device(device_class), "2026-01-01"
    )
    assert verdict is not None
    assert "in functions, or in without" in verdict.reason
    (said,) = settled(device(device_class, without=("motion",))).scope
    assert (said.in_scope, said.undeclared) == (False, ())
    assert said.reason == "bench or device lacks motion"


def test_a_device_with_the_function_and_a_class_without_moving_parts_are_as_before():
    (item,) = settled(ROBOT).scope
    assert (item.in_scope, item.undeclared) == (True, ())
    (item,) = settled(device("monitoring")).scope
    assert (item.in_scope, item.reason) == (False, "bench or device lacks motion")


def test_what_is_lacking_is_named_once():
    (item,) = settled(device("monitoring"), needs=("motion", "motion")).scope
    assert item.reason == "bench or device lacks motion"


def test_what_the_bench_lacks_is_no_matter_of_the_device():
    assert undeclared("LOC-1", ("real-packets",), device("therapy")) == ()


def test_a_session_is_judged_where_nothing_stands_against_it():
    (item,) = settled(ROBOT).scope
    assert verdict_without_session(item, CATALOGUE.get("LOC-1"), ROBOT, "2026-01-01") is None


@pytest.mark.parametrize("requirement", sorted(ASKED))
def test_what_is_asked_of_a_class_is_waived_by_words_only(requirement):
    name, classes = ASKED[requirement]
    assert requirement in BEHAVIOURS
    assert name in FUNCTIONS
    for each in CLASSES:
        (silent,) = settled(device(each), requirement, (name,)).scope
        assert silent.undeclared == ((name,) if each in classes else ())
        (said,) = settled(device(each, without=(name,)), requirement, (name,)).scope
        assert (said.in_scope, said.undeclared) == (False, ())
        (has,) = settled(device(each, functions=(name,)), requirement, (name,)).scope
        assert (has.in_scope, has.undeclared) == (True, ())


def test_a_test_that_needs_another_function_is_none_of_its_affairs():
    assert undeclared("SW-1", ("motion",), device("monitoring")) == ()


@pytest.mark.parametrize("name", names())
def test_the_devices_of_the_bench_say_what_they_do_not_have(name):
    profile = find_device(name)
    asked = {fn for fn, classes in ASKED.values() if profile.device_class in classes}
    assert asked <= {*profile.functions, *profile.without}
