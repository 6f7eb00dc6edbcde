"""A link with a radio hop between: two parts, and all that the scenario does is behind the hop."""

from __future__ import annotations

from bench.benches.local.emulation import link_plans
from bench.benches.local.nics import BEFORE_RADIO, Nics
from bench.network.impairment import CLEAN
from bench.network.library import find_scenario
from bench.network.scenario import compile_scenario


def test_the_scenario_is_played_on_the_doctors_side_of_the_hop():
    schedule = compile_scenario(find_scenario("delay-ramp"), 7)
    nics = Nics([("p0", "d0", "near", "far"), ("p1", "d1")])
    assert nics.wires[0].radio == ("near", "far")
    assert nics.wires[1].radio == ()
    before, behind, other = link_plans(nics.wires, schedule, 5)
    assert before.link == f"primary{BEFORE_RADIO}"
    assert (before.patient_ifname, before.doctor_ifname) == ("p0", "near")
    assert before.to_patient == before.to_doctor == ((0, CLEAN),)
    assert behind.link == "primary"
    assert (behind.patient_ifname, behind.doctor_ifname) == ("far", "d0")
    assert behind.to_doctor == schedule.of("primary", "to-doctor")
    assert behind.to_patient == schedule.of("primary", "to-patient")
    assert len(behind.to_doctor) > 2
    assert (other.link, other.patient_ifname, other.doctor_ifname) == ("standby", "p1", "d1")
