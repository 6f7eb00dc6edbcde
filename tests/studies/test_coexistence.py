"""A coexistence plan: read from its file, explored, and against the full grid."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.benches.base import BenchError
from bench.benches.lab.bench import LabBench
from bench.benches.lab.file import SHIPPED as LABORATORY
from bench.benches.virtual import VirtualBench
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.measure.failing import full, search
from bench.measure.failure_region import Region
from bench.network.radio.exposure import Presented
from bench.network.scenario import interferences
from bench.sessions.codec import from_json, to_json
from bench.studies.coexistence import plan as plans
from bench.studies.coexistence.explore import Trials, explore, least_s
from bench.studies.coexistence.in_run import plan_for
from bench.studies.coexistence.plan import load_plan, shipped_plan
from bench.studies.invoke import bench_for

ROBOT = find_device("tele-ultrasound-robot")
FEW = replace(
    ROBOT,
    streams=tuple(
        s if s.name in ("control", "haptic-command", "force-feedback")
        else replace(s, option="off")
        for s in ROBOT.streams
    ),
)  # fmt: skip


def small(count=14):
    """One column of the shipped plan."""
    plan = shipped_plan()
    column = plan.columns[0]
    return replace(
        plan, columns=(replace(column, ratios_db=column.ratios_db[-count:]),), met=plan.met[:1]
    )


@pytest.fixture(scope="module")
def region():
    said = []
    found = explore(small(), FEW, VirtualBench(), 7, said.append)
    assert len(said) == found.points
    return found


def full_grid(device):
    """Every level of the column carried out, with seeds of its own."""
    grid, exposed = small().columns[0], scenario_of(least_s(device))
    trials = Trials(device, device.radio, device.coexistence.recovery_s, VirtualBench(), 8, exposed)
    return full(14, lambda place: trials.carry_out(grid.exposure(device.radio, place)).failed)


def the_same(column, whole):
    """Nothing of the full grid is the search's own answer, and its boundary is in the interval."""
    assert [trial.place for trial in whole.trials] == list(range(14))
    assert None not in [trial.failed for trial in whole.trials]
    assert whole.monotone
    found = column.boundary
    assert found.kept <= whole.kept < whole.fails <= found.fails
    assert found.fails - found.kept == 1
    return whole.fails


def test_it_finds_the_boundary_that_the_full_grid_has(region):
    assert the_same(region.columns[0], full_grid(FEW)) == 10
    assert region.points < region.full_points


def test_it_finds_the_boundary_that_the_full_grid_of_a_deaf_radio_has():
    """The defect moves the boundary by levels, and the search goes with it."""
    deaf = FEW.with_defects({"deaf-radio": 1.0})
    found = explore(small(), deaf, VirtualBench(), 7, lambda text: None)
    assert the_same(found.columns[0], full_grid(deaf)) == 4


def scenario_of(seconds):
    from bench.network.library.coexistence import one_exposure

    return lambda exposure: one_exposure(FEW.radio, exposure, seconds, 1.0)


def test_a_region_goes_to_run_json_and_back(region):
    assert from_json(Region, to_json(region), file="run.json") == region
    assert region.likelihood.low <= region.likelihood.value <= region.likelihood.high
    lost = [p for p in region.columns[0].points if p.failed]
    assert all(p.reason and p.victim_bps is not None for p in lost)


class Unverified:
    """A bench whose laboratory cannot verify what it presents."""

    name = "virtual"

    def run(self, session, sink):
        plain = session.schedule().exposures
        shown = tuple(
            Presented(e.exposures, e.reception, problem="the analyser is mute") for e in plain
        )
        assert len(shown) == len(interferences(session.scenario))
        return VirtualBench().run(replace(session, presented=shown), sink)


class Broken:
    name = "virtual"

    def run(self, session, sink):
        raise BenchError("the generator is gone")


@pytest.mark.parametrize(("bench", "told"), [(Unverified(), "mute"), (Broken(), "gone")])
def test_what_is_not_verified_gives_no_boundary_and_no_likelihood(bench, told):
    found = explore(small(), FEW, bench, 7, lambda text: None)
    column = found.columns[0]
    assert (column.boundary.kept, column.boundary.fails) == (-1, 14)
    assert "nothing was shown" in column.boundary.problem
    assert all(told in point.reason for point in column.points)
    assert found.likelihood is None
    assert "nothing was shown" in found.problem


def test_a_device_that_keeps_records_shows_each_point():
    """Each point's session goes on until the last records are due."""
    device = find_device("glucose-meter")
    names = ("alarm", "glucose-records", "acknowledgement")
    streams = (s if s.name in names else replace(s, option="off") for s in device.streams)
    plan = shipped_plan()
    quiet = replace(plan.columns[0], ratios_db=plan.columns[0].ratios_db[:2])
    found = explore(
        replace(plan, columns=(quiet,), met=()), replace(device, streams=tuple(streams)),
        VirtualBench(), 7, lambda text: None,
    )  # fmt: skip
    points = found.columns[0].points
    assert {point.failed for point in points} == {False}, [p.reason for p in points]


def test_a_device_without_a_radio_is_refused():
    with pytest.raises(InputError, match="declares no radio"):
        explore(small(), find_device("infusion-monitor"), VirtualBench(), 7, print)


def test_the_shipped_plan():
    plan = shipped_plan()
    assert plan.points == 63
    assert [column.offset_hz for column in plan.columns] == [0.0, 40e6, 60e6]
    assert plan.columns[0].ratios_db[0] == -24.0
    exposure = plan.columns[1].exposure(ROBOT.radio, 3)
    assert (exposure.frequency_hz, exposure.level_dbm) == (3.54e9, -88.0)
    assert {"standard", "tier", "method"} <= set(plan.words())


EXAMPLE = Path(__file__).parents[2] / "docs" / "coexistence-wifi.example.toml"


@pytest.mark.parametrize("plan", [shipped_plan(), load_plan(EXAMPLE)], ids=["shipped", "wifi"])
def test_the_search_saves_four_tenths_of_every_column_wherever_a_device_fails_sharply(plan):
    assert plan.short() == ()
    for column in plan.columns:
        full_points = len(column.ratios_db)
        for first in range(full_points + 1):
            found = search(full_points, lambda at, first=first: at >= first, plan.confidence)
            assert (found.kept, found.fails) == (first - 1, first)
            assert found.points <= 0.6 * full_points


def test_a_column_too_short_to_save_that_is_told():
    (told,) = small(13).short()
    assert told == (
        "lte20 in the channel: 13 levels are too few to save 40 % of them wherever the device "
        "fails: up to 10 trials where it fails sharply"
    )
    assert replace(small(13), confidence=0.6).short() == ()


def test_the_example_for_wifi():
    """Its neighbours are those that the home monitor's maker expects, and it has levels beyond."""
    plan = load_plan(EXAMPLE)
    assert plan.points == 42
    device = find_device("home-monitor")
    for column in plan.columns:
        expected = [
            one.level_dbm
            for one in device.coexistence.environment
            if one.frequency_hz == device.radio.frequency_hz + column.offset_hz
        ]
        highest = column.exposure(device.radio, len(column.ratios_db) - 1)
        assert expected
        assert highest.level_dbm > max(expected)
    assert [(met.signal, met.offset_hz) for met in plan.met] == [
        (column.signal, column.offset_hz) for column in plan.columns
    ]


def test_what_the_device_does_to_another_network_is_reckoned(region):
    (other,) = region.others
    assert other == shipped_plan().others[0].beside()
    assert other.beside.rate_bps < other.alone.rate_bps
    assert other.beside.sinr_db < other.alone.sinr_db


DATA = plans.resources.files("bench.studies.coexistence") / "data"
SHIPPED = (DATA / "plan.toml").read_text()
TIERS = (DATA / "tiers.toml").read_text()


@pytest.fixture
def beside(tmp_path) -> None:
    """The table of tiers of the shipped plan, beside a changed one."""
    (tmp_path / "tiers.toml").write_text(TIERS)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('method = "conducted"', 'method = "guessed"', "is unknown"),
        ('confidence = "95%"', 'confidence = "100%"', "below 100 %"),
        ('step = "2dB"', 'step = "40dB"', "makes 2 levels"),
        ('lowest = "-24dB"', 'lowest = "24dB"', "do not ascend"),
        ('offsets = ["0Hz", "40MHz"]', 'offsets = ["0Hz", "0Hz"]', "twice"),
        ('offsets = ["0Hz", "40MHz"]', "offsets = []", "names none"),
        ('offset = "60MHz"', 'offset = "-60MHz"', "no signal at that offset"),
        ('present = "30%"', "present = 0.3", "present"),
        ('present = "30%"', 'present = "30%"\nduty = "50%"', "no duty cycle of that signal"),
        ('edition = "2021"\n', "", "is missing"),
        ('name = "lte20"\n', 'name = "mine"\n', "is missing"),
        ("[tier]", "[tiers]", "unknown key"),
        ('table = "tiers.toml"', 'tables = "tiers.toml"', "unknown key"),
        ('table = "tiers.toml"', 'table = "none.toml"', "none.toml: no such file"),
        ('table = "tiers.toml"', 'table = "tiers.toml"\nsource = "me"', "either source or table"),
        ('edition = "2021"', 'edition = "2017"', "ANSI C63.27, 2021, and the plan of ANSI C63.27"),
        ('name = "2"', 'name = "3"', "is no tier of that table; use one of 1, 2"),
        (
            'offsets = ["0Hz", "40MHz"]',
            'offsets = ["0Hz"]',
            "tier.name = '2': asks for what this plan lacks: lte20 at +40 MHz is not in the plan",
        ),
        (
            'highest = "26dB"',
            'highest = "24dB"',
            "noise40 at +60 MHz: I/U -10 to +26 dB is asked for, the plan has -14 to +24 dB",
        ),
        ('step = "2dB"', 'step = "4dB"', "steps of 2 dB are asked for, the plan's are 4"),
        ('technology = "lte-20mhz"', 'technology = "wlan"', "is unknown"),
        ('level = "-95dBm"\n', "", "is missing"),
    ],
)
@pytest.mark.usefixtures("beside")
def test_a_plan_that_cannot_be_is_refused_with_its_place(tmp_path, old, new, told):
    path = tmp_path / "plan.toml"
    assert old in SHIPPED
    path.write_text(SHIPPED.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_plan(path)
    assert told in caught.value.line()
    assert "plan.toml" in caught.value.line() or "none.toml" in caught.value.line()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("made_up = true", "made-up = true", "made-up: unknown key"),
        ('kpis = ["streams", "recovery"]', 'kpis = ["rate"]', "has 'rate', which is none"),
        ('offset = "40MHz"', 'offsets = "40MHz"', "unknown key"),
        ('edition = "2021"\n', "", "standard.edition: is missing"),
        ('clause = "none: made up"\n', "", "standard.clause: is missing"),
        ('lowest = "-10dB"', 'lowest = "30dB"', "do not ascend"),
        ("[tiers.1]", "[tiers.1]\nlevel = 3", "level: unknown key"),
    ],
)
def test_a_table_of_tiers_that_cannot_be_is_refused_with_its_place(tmp_path, old, new, told):
    assert old in TIERS
    (tmp_path / "tiers.toml").write_text(TIERS.replace(old, new, 1))
    path = tmp_path / "plan.toml"
    path.write_text(SHIPPED)
    with pytest.raises(InputError) as caught:
        load_plan(path)
    assert told in caught.value.line()
    assert "tiers.toml" in caught.value.line()


def test_a_tier_asks_for_a_receiver_of_another_network(tmp_path, beside):
    path = tmp_path / "plan.toml"
    path.write_text(SHIPPED.partition("[[others]]")[0])
    with pytest.raises(InputError, match="no receiver of another network"):
        load_plan(path)
    path.write_text(SHIPPED.partition("[[others]]")[0].replace('name = "2"', 'name = "1"'))
    assert load_plan(path).tier.asks.title == "one neighbour in the channel"


def test_the_report_says_where_the_tier_comes_from(tmp_path, beside):
    path = tmp_path / "plan.toml"
    path.write_text(SHIPPED)
    told = load_plan(path).words()["tier"]
    assert told.startswith(
        "2, neighbours in the channel and beside it (MADE UP, not read out of any standard: "
        "Example of a table of tiers; ANSI C63.27, 2021, none: made up; tiers.toml, SHA-256 "
    )
    path.write_text(SHIPPED.replace('table = "tiers.toml"', 'source = "my own reading"'))
    assert "(my own reading; no table of tiers)" in load_plan(path).words()["tier"]


HALF = """
[[signals]]
name = "lte20"
duty = "50%"
burst = "5ms"
offsets = ["0Hz"]
lowest = "-20dB"
highest = "20dB"
step = "2dB"
"""


@pytest.mark.parametrize(("duty", "told"), [("100%", 1.0), ("50%", 0.5)])
def test_surroundings_name_one_of_two_duty_cycles(tmp_path, duty, told, beside):
    path = tmp_path / "plan.toml"
    path.write_text(SHIPPED.replace('present = "30%"', f'present = "30%"\nduty = "{duty}"') + HALF)
    plan = load_plan(path)
    assert [c.duty for c in plan.columns if c.signal == "lte20"] == [1.0, 1.0, 0.5]
    assert (plan.met[0].signal, plan.met[0].offset_hz, plan.met[0].duty) == ("lte20", 0.0, told)


def test_surroundings_that_leave_open_which_duty_cycle_they_mean_are_refused(tmp_path, beside):
    path = tmp_path / "plan.toml"
    path.write_text(SHIPPED + HALF)
    with pytest.raises(InputError) as caught:
        load_plan(path)
    assert "surroundings[lte20].duty" in caught.value.line()
    assert "is missing: this signal is there at several" in caught.value.line()
    assert "100%, 50%" in caught.value.line()


def radiating(folder):
    """The shipped laboratory as one in a chamber."""
    for file in LABORATORY.parent.glob("simulated-lab*.toml"):
        text = file.read_text().replace(
            'method = "conducted"', 'method = "anechoic"\nshielded_enclosure = "chamber"'
        )
        (folder / file.name).write_text(text)
    return LabBench(folder / LABORATORY.name)


def test_a_plan_is_explored_by_the_method_of_its_laboratory_alone(tmp_path, beside):
    chamber, path = radiating(tmp_path), tmp_path / "plan.toml"
    path.write_text(SHIPPED.replace('method = "conducted"', 'method = "anechoic"'))
    assert plan_for(chamber, path).method == "anechoic"
    for bench in (LabBench(LABORATORY), VirtualBench()):
        assert plan_for(bench, None) == shipped_plan()
    for bench, plan, told in (
        (LabBench(LABORATORY), path, "plan.toml: method = 'anechoic': is not how this laboratory"),
        (chamber, None, "the shipped coexistence plan: method = 'conducted': is not how"),
    ):
        with pytest.raises(InputError) as caught:
            plan_for(bench, plan)
        assert told in caught.value.line()
        assert f"its bench file says {bench.method}" in caught.value.line()


def test_the_laboratory_is_the_default_of_this_plan_alone():
    assert bench_for(("coexistence",), "auto") == "simulated-lab"
    assert bench_for(("coexistence",), "virtual") == "virtual"
    assert bench_for(("coexistence", "alarms"), "auto") == "auto"
    assert bench_for(("alarms",), "auto") == "auto"
