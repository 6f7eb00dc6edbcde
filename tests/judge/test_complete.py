"""Every behaviour, scenario and defect is tested in some ``test_defects*.py`` of its topic.

Each such file has ``JUDGED`` (scenario to the requirements judged from it) and ``OWN`` (the defects
that it tries).
"""

import importlib.util
from pathlib import Path

from bench.devices.defects import DEFECTS
from bench.measure.behaviours import BEHAVIOURS
from bench.network import library
from bench.requirements.loader import load_catalogue


def _topics():
    for file in sorted(Path(__file__).parent.glob("test_defects*.py")):
        spec = importlib.util.spec_from_file_location(f"topic_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


TOPICS = tuple(_topics())


def test_every_behaviour_scenario_and_defect_is_tried():
    judged = {name for topic in TOPICS for found in topic.JUDGED.values() for name in found}
    assert judged == set(BEHAVIOURS)
    assert {name for topic in TOPICS for name in topic.JUDGED} == set(library.SCENARIOS)
    assert sorted(name for topic in TOPICS for name in topic.OWN) == sorted(DEFECTS)


def test_what_is_measured_is_a_behaviour_of_the_catalogue():
    requirements = load_catalogue().requirements.values()
    assert set(BEHAVIOURS) <= {r.id for r in requirements if r.kind == "behaviour"}
    broken = {name for defect in DEFECTS.values() for name in defect.breaks}
    assert broken <= set(BEHAVIOURS)
