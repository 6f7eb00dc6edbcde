"""The kernel's own netem under the commands and the local bench, in User-Mode Linux."""

import importlib.util
import os
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NETEM = ["fa ingress", "fa netem", "fb ingress", "fb netem"]


def unavailable(reason):
    if "netem-uml" in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    file = HERE.parent / "instruments" / "uml_boot.py"
    spec = importlib.util.spec_from_file_location("telemed_bench_uml_boot_emulate", file)
    uml_boot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(uml_boot)
    uml_boot.HERE = HERE  # its guest script is the one beside this file
    try:
        answer, console = uml_boot.guest_result(lambda: tmp_path_factory.mktemp("uml"))
    except uml_boot.Unavailable as error:
        unavailable(str(error))
    if "failed" in answer:
        pytest.fail(f"{answer['failed']}\n{console[-2000:]}")
    return answer


def test_auto_takes_netem_and_delays(result):
    carried = result["carried"]
    assert carried["ready"]["backend"] == "netem"
    assert carried["there"] == NETEM
    assert len(carried["waited_ns"]) == 20
    assert min(carried["waited_ns"]) >= 19_990_000  # the packet's own stamp is a little late


def test_changes_are_confirmed_and_read_back(result):
    for change in result["carried"]["changes"]:
        assert change["read_back"] is True
        assert change["effective"] is None
        assert change["confirmed"] >= change["commanded"] >= change["scheduled"] - 0.001
    assert result["carried"]["changes"][2]["impairment"]["delay"]["mean_s"] == 0.7


def test_what_waits_in_the_qdisc_still_arrives(result):
    carried = result["carried"]
    assert carried["drained"] == list(range(20, 30))
    assert carried["errors"] == ""
    assert carried["code"] == 130
    assert carried["end"]["left-to-right"]["tx"] == 30
    assert result["left"] == repr(([], []))


def test_what_waits_long_still_arrives(result):
    """2.5 s of delay: the first interrupt waits for it, and says so."""
    patient, _ = result["long"]
    assert patient["arrived"] == list(range(40, 50))
    assert patient["draining"]["waiting"] == 10
    assert 2.5 < patient["draining"]["within"] < 3.6
    assert patient["s"] > 2.0
    assert (patient["code"], patient["end"]["reason"]) == (130, "interrupted")
    assert patient["end"]["left-to-right"]["tx"] == 10
    assert patient["end"]["left-to-right"]["in_flight"] == 0
    assert not any("dropped" in note for note in patient["end"]["notes"])


def test_a_second_interrupt_drops_what_still_waits_and_says_so(result):
    _, impatient = result["long"]
    assert impatient["arrived"] == []
    assert impatient["end"]["time"] - impatient["draining"]["time"] < 1.5
    assert impatient["code"] == 130
    assert impatient["end"]["left-to-right"]["in_flight"] == 10
    (note,) = (note for note in impatient["end"]["notes"] if "dropped" in note)
    assert note.startswith("10 packets still waited in netem after ")
    assert note.endswith("interrupted again")


def test_after_sigkill_the_guardian_takes_the_qdiscs_away(result):
    assert result["killed"] == {"there": NETEM, "between": [], "left": repr(([], []))}


def test_where_the_guardian_is_killed_too_the_next_start_does(result):
    assert result["killed_both"] == {"there": NETEM, "between": NETEM, "left": repr(([], []))}


def test_certify_emulator_runs_on_netem(result):
    """No row fails; the guest's clock is poor, so one may be inconclusive."""
    certified = result["certified"]
    told = certified["told"]
    assert told is not None, certified["errors"]
    assert (told["backend"], told["quick"]) == ("netem", True)
    verdicts = {row["name"]: row["verdict"] for row in [told["null"], *told["rows"]]}
    assert verdicts.pop("hold") == "not offered"
    assert len(verdicts) == 16
    assert set(verdicts.values()) <= {"holds", "inconclusive"}
    assert certified["code"] == (3 if "inconclusive" in verdicts.values() else 0)
    assert all(row["sent"] for row in told["rows"] if row["name"] != "hold")
    assert told["drops"]["emulator"] == 0


def test_a_session_of_the_local_bench_runs_on_netem(result):
    """A commanded change is in the packets: none is early, and before it most were quick."""
    played = result["played"]
    assert played["backend"] == "netem"
    assert played["complete"] is True
    assert min(played["taps"].values()) > 200
    changes = [change for change in played["changes"] if change[0]]
    assert {tuple(change[1:3]) for change in changes} == {
        (link, way) for link in ("primary", "standby") for way in ("to-patient", "to-doctor")
    }
    (confirmed,) = (c[4] for c in changes if c[1:3] == ["primary", "to-patient"])
    before = sorted(delay for sent, delay in played["delays"] if sent < changes[0][0] - 50_000_000)
    after = sorted(delay for sent, delay in played["delays"] if sent > confirmed)
    assert len(before) > 50
    assert len(after) > 50
    assert before[len(before) // 2] < 150_000_000
    assert after[0] >= 199_990_000
    assert after[len(after) // 2] < 300_000_000
