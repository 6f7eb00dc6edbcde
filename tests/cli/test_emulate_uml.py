"""``bench emulate`` with the kernel's own netem, in User-Mode Linux: carried, drained, killed."""

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


def test_after_sigkill_the_guardian_takes_the_qdiscs_away(result):
    assert result["killed"] == {"there": NETEM, "between": [], "left": repr(([], []))}


def test_where_the_guardian_is_killed_too_the_next_start_does(result):
    assert result["killed_both"] == {"there": NETEM, "between": NETEM, "left": repr(([], []))}
