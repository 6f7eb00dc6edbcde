"""``bench fit``: from two capture files to a profile that does the same, and every refusal."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.errors import InputError
from bench.network.delays import Delay
from bench.network.impairment import GilbertElliott, Impairment, bernoulli
from bench.network.laws import DirectionLaw
from bench.network.profiles import load_profiles
from bench.report.fit import print_fit
from bench.studies.fit import fit, write_profile

_FILE = Path(__file__).parents[1] / "captures" / "kit.py"
ENDS = ("10.0.0.1", "10.0.0.2")
MS = 1_000_000
WAY = {"to-doctor": (ENDS, (1000, 2000)), "to-patient": (ENDS[::-1], (2000, 1000))}
KEYS = {
    "name", "left", "right", "flows", "undirected", "directions", "notes", "synthetic", "profile",
}  # fmt: skip
DIRECTION_KEYS = {
    "sent", "arrived", "duplicates", "ambiguous", "in_flight", "unmatched", "duration_s", "delay",
    "steadiness", "loss", "rate", "reordered", "duplication", "replay", "impairment", "notes",
}  # fmt: skip


@pytest.fixture(scope="module")
def kit():
    spec = importlib.util.spec_from_file_location("captures_kit", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def carried(kit, direction, impairment, count=3000):
    """Rows at the sending and at the receiving tap."""
    ends, ports = WAY[direction]
    law = DirectionLaw([(0, impairment)], seed=5, name=direction)
    sent, got = [], []
    for n, frame in enumerate(kit.numbered(count, ends=ends, ports=ports)):
        due = law.offer(n * MS + 1, len(frame))
        sent.append((kit.START_NS + n * MS + 1, frame))
        got += [(kit.START_NS + at, frame) for at in (due, law.copy_due) if at >= 0]
    return sent, got


def captures(kit, folder, left, right, write=None):
    paths = folder / "patient.pcap", folder / "doctor.pcap"
    for path, rows in zip(paths, (left, right), strict=True):
        rows = sorted(rows, key=lambda row: row[0])
        kit.save(path, (write or kit.pcap)(rows))
    return paths


THERE = Impairment(
    delay=Delay(0.02, "uniform", 0.002), order="allow", loss=GilbertElliott(0.01, 0.25)
)
BACK = Impairment(delay=Delay(0.03, "normal", 0.003), order="allow", loss=bernoulli(0.02))


@pytest.fixture(scope="module")
def found(kit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    there, arrived = carried(kit, "to-doctor", THERE)
    back, returned = carried(kit, "to-patient", BACK)
    return fit(*captures(kit, folder, there + returned, arrived + back), name="lab")


def test_both_directions_are_recovered(found):
    there, back = (found.impairment(way) for way in ("to-doctor", "to-patient"))
    assert (there.delay.law, there.order) == ("uniform", "allow")
    # Edges of 2700 uniform delays: 20 mean distances; normal: five standard errors.
    assert there.delay.mean_s == pytest.approx(0.02, abs=3e-5)
    assert there.delay.spread_s == pytest.approx(0.002, abs=3e-5)
    assert there.loss.p_bad_to_good == pytest.approx(0.25, abs=0.2)
    assert there.loss.loss_bad == 1.0
    assert back.delay.law == "normal"
    assert back.delay.mean_s == pytest.approx(0.03, abs=2.9e-4)
    assert back.delay.spread_s == pytest.approx(0.003, abs=2.1e-4)
    assert back.loss.ratio == pytest.approx(0.02, abs=5 * (0.02 / 3000) ** 0.5)
    assert all(each.replay.agrees for each in found.directions.values())


def test_counts(found):
    for way in found.directions.values():
        assert way.sent == 3000 - way.in_flight
        assert way.arrived + way.loss.lost == way.sent
        assert (way.ambiguous, way.unmatched, way.duplicates) == (0, 0, 0)
    assert found.flows == 2


def test_profile_reads_back_equal(found, tmp_path):
    path = tmp_path / "lab.toml"
    write_profile(found, path)
    profile = load_profiles(path)["lab"]
    assert profile.to_patient == found.impairment("to-patient")
    assert profile.to_doctor == found.impairment("to-doctor")
    assert profile.synthetic == "synthetic: fitted to captures patient.pcap and doctor.pcap"
    assert found.left.sha256 in profile.source
    assert found.right.sha256 in profile.source
    assert "patient.pcap" in profile.title


@pytest.mark.parametrize(
    "name", ["a.b", 'say "x" \\ y', "klinik ü \U0001f600", "tab\t\x7f", "\udcff"]
)
def test_any_name_can_be_written(kit, tmp_path, name):
    paths = captures(kit, tmp_path, *carried(kit, "to-doctor", Impairment(delay=Delay(0.02)), 200))
    made = fit(*paths, name=name)
    write_profile(made, tmp_path / "p.toml")
    assert list(load_profiles(tmp_path / "p.toml")) == [made.name]
    assert made.name == name.replace("\udcff", "?")


SHAPES = {
    "table": Impairment(
        delay=Delay(0.02, "table", 0.001, tuple([-8192] * 2048 + [8192] * 2048)), order="allow"
    ),
    "constant": Impairment(delay=Delay(0.02)),
    "duplicates": Impairment(delay=Delay(0.02), duplication=0.05),
    "states": Impairment(delay=Delay(0.02), loss=GilbertElliott(0.01, 0.05, 0.01, 0.6)),
    "pareto": Impairment(delay=Delay(0.02, "pareto", 0.001), order="allow"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_profile_of_every_shape_reads_back_equal(kit, tmp_path, shape):
    truth = SHAPES[shape]
    made = fit(*captures(kit, tmp_path, *carried(kit, "to-doctor", truth)))
    write_profile(made, tmp_path / "p.toml")
    profile = load_profiles(tmp_path / "p.toml")["patient-doctor"]
    assert profile.to_doctor == made.impairment("to-doctor")
    assert profile.to_doctor.delay.law == truth.delay.law
    assert profile.to_doctor.duplication == pytest.approx(truth.duplication, abs=0.02)


def test_rate_reads_back(kit, tmp_path):
    truth = Impairment(delay=Delay(0.02), rate_bps=2e6)
    law = DirectionLaw([(0, truth)], seed=5, name="x")
    frames = kit.numbered(3000, size=500)
    sent = [(kit.START_NS + 1 + n // 10 * 33 * MS + n % 10 * 1000, f) for n, f in enumerate(frames)]
    got = [(kit.START_NS + law.offer(t - kit.START_NS, len(f)), f) for t, f in sent]
    made = fit(*captures(kit, tmp_path, sent, got))
    write_profile(made, tmp_path / "p.toml")
    profile = load_profiles(tmp_path / "p.toml")["patient-doctor"]
    assert profile.to_doctor == made.impairment("to-doctor")
    assert profile.to_doctor.rate_bps == pytest.approx(2e6, rel=1e-4)


def test_one_direction_only_says_what_is_assumed(kit, tmp_path):
    sent, got = carried(kit, "to-doctor", Impairment(delay=Delay(0.02)), 500)
    made = fit(*captures(kit, tmp_path, sent, got))
    assert made.directions["to-patient"] is None
    assert made.impairment("to-patient") == made.impairment("to-doctor")
    assert "only to-doctor was seen, the other direction is assumed alike" in made.synthetic
    assert "assumed like the other" in printed(made)


@pytest.mark.parametrize("name", ["pcap-us", "pcapng"])
def test_other_formats_give_the_same(kit, tmp_path, name):
    sent, got = carried(kit, "to-doctor", BACK, 1000)
    write = {"pcap-us": lambda rows: kit.pcap(rows, nanoseconds=False, order=">"),
             "pcapng": kit.pcapng}[name]  # fmt: skip
    (tmp_path / "ns").mkdir()
    exact = fit(*captures(kit, tmp_path / "ns", sent, got)).impairment("to-doctor")
    other = fit(*captures(kit, tmp_path, sent, got, write)).impairment("to-doctor")
    assert other.delay.mean_s == pytest.approx(exact.delay.mean_s, abs=1e-6)
    assert other.delay.spread_s == pytest.approx(exact.delay.spread_s, abs=1e-6)
    assert other.loss == exact.loss


def test_taps_that_missed_packets_and_cut_files_are_said(kit, tmp_path):
    sent, got = carried(kit, "to-doctor", Impairment(delay=Delay(0.02)), 500)
    left, right = captures(kit, tmp_path, sent, got, kit.pcapng)
    kit.save(left, left.read_bytes() + kit.statistics(0, 12) + b"\x06\x00\x00\x00")
    notes = " | ".join(fit(left, right).notes)
    assert "patient.pcap: the tap missed 12 packets" in notes
    assert "patient.pcap: the last record is cut" in notes


def test_noise_of_the_taps_may_be_given(kit, tmp_path):
    sent, got = carried(kit, "to-doctor", Impairment(delay=Delay(0.02, "uniform", 3e-5)), 1000)
    paths = captures(kit, tmp_path, sent, got)
    assert fit(*paths).impairment("to-doctor").delay.law == "uniform"
    assert fit(*paths, resolution_s=1e-4).impairment("to-doctor").delay.law == "constant"


def test_flows_may_be_chosen(kit, tmp_path, found):
    there, arrived = carried(kit, "to-doctor", THERE)
    back, returned = carried(kit, "to-patient", BACK)
    paths = captures(kit, tmp_path, there + returned, arrived + back)
    made = fit(*paths, only="10.0.0.1:1000 >")
    assert made.directions["to-patient"] is None
    assert made.directions["to-doctor"] == found.directions["to-doctor"]
    with pytest.raises(InputError, match=r"--only = ':5004': no flow .* UDP 10.0.0.1:1000 >"):
        fit(*paths, only=":5004")


def printed(made):
    console = Console(file=io.StringIO(), width=200)
    print_fit(made, console=console)
    return console.file.getvalue()


def test_table_for_people(found):
    text = printed(found)
    for words in ("to-doctor", "uniform", "(chosen)", "KS", "played back", "gilbert", "bursts of",
                  "rate: not visible: at least", "flows at both taps",
                  found.left.sha256[:16]):  # fmt: skip
        assert words in text


def test_json_has_every_key(found, kit, tmp_path):
    sent, got = carried(kit, "to-doctor", Impairment(delay=Delay(0.02)), 500)
    for made in (found, fit(*captures(kit, tmp_path, sent, got))):
        plain = json.loads(json.dumps(made.to_json()))
        assert set(plain) == KEYS
        assert set(plain["directions"]) == {"to-patient", "to-doctor"}
        for way in plain["directions"].values():
            assert way is None or set(way) == DIRECTION_KEYS
    assert (
        plain["left"]["sha256"]
        == hashlib.sha256((tmp_path / "patient.pcap").read_bytes()).hexdigest()
    )
    assert plain["directions"]["to-doctor"]["rate"]["rate_bps"] is None


def test_the_same_files_give_the_same_profile(kit, tmp_path):
    paths = captures(kit, tmp_path, *carried(kit, "to-doctor", THERE, 1000))
    assert fit(*paths).to_json() == fit(*paths).to_json()


# Refusals


def refused(kit, tmp_path, left, right):
    with pytest.raises(InputError) as caught:
        fit(*captures(kit, tmp_path, left, right))
    assert caught.value.remedy
    assert "patient.pcap" in str(caught.value) or "doctor.pcap" in str(caught.value)
    return str(caught.value)


def test_wrong_order(kit, tmp_path):
    sent, got = carried(kit, "to-doctor", Impairment(delay=Delay(0.02)), 500)
    assert "give the two files in the other order" in refused(kit, tmp_path, got, sent)


def test_nothing_in_common(kit, tmp_path):
    sent, _ = carried(kit, "to-doctor", Impairment(), 500)
    _, other = carried(kit, "to-patient", Impairment(), 500)
    assert "no packets in common" in refused(kit, tmp_path, sent, other)


def test_too_few_packets(kit, tmp_path):
    sent, got = carried(kit, "to-doctor", Impairment(delay=Delay(0.02)), 50)
    said = refused(kit, tmp_path, sent, got)
    assert "to-doctor.packets: only 50 packets were seen at both taps; capture longer" in said


def test_a_step_of_a_clock(kit, tmp_path):
    sent, got = carried(kit, "to-doctor", Impairment(delay=Delay(0.02)), 1000)
    moved = [(t + (700 * MS if n >= 500 else 0), frame) for n, (t, frame) in enumerate(got)]
    assert "delay steps by 700 ms after" in refused(kit, tmp_path, sent, moved)


def test_a_drifting_clock(kit, tmp_path):
    sent, got = carried(kit, "to-doctor", Impairment(delay=Delay(0.02)), 1000)
    moved = [(t + (t - kit.START_NS) // 10_000, frame) for t, frame in got]
    assert "(100 ppm)" in refused(kit, tmp_path, sent, moved)


@pytest.mark.parametrize(("data", "words"), [(b"", "is empty"), (b"no capture", "not a capture")])
@pytest.mark.parametrize("side", [0, 1])
def test_no_capture(kit, tmp_path, data, words, side):
    paths = captures(kit, tmp_path, *carried(kit, "to-doctor", Impairment(), 200))
    kit.save(paths[side], data)
    with pytest.raises(InputError, match=words) as caught:
        fit(*paths)
    assert str(paths[side]) in str(caught.value)


def test_output_that_cannot_be_written(found, tmp_path):
    with pytest.raises(InputError, match="--output: cannot be written"):
        write_profile(found, tmp_path / "none" / "p.toml")
