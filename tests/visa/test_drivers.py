"""Drivers against scripted peers: what they send, what they refuse, and the safe state."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from instruments.power.supplies import E36312A
from instruments.rf.attenuators import MINI_CIRCUITS, Rcdat, RcdatScpi
from instruments.rf.generators import KeysightMxg, RohdeSchwarzSmw
from instruments.rf.levels import Attenuation, Path, Permit, Port, permit, predict, room_dbm
from instruments.safety import SafeState
from instruments.visa.errors import (
    Broken,
    DeadlinePassed,
    Desynchronised,
    Excess,
    NotApplied,
    NotSafe,
    Reported,
)
from instruments.visa.plan import Plan
from instruments.visa.resources import Identity
from tests.support.scripted import Peer, Script, session

SHORT_S = 0.06
SMW_OFF = {":OUTP1": "0", ":SOUR1:POW:OFFS": "0", ":SOUR1:BB:ARB:STAT": "0"}
LIMITS = {"voltage_v": (0.0, 12.0), "current_a": (0.0, 1.0)}
RECEIVER = Port("receiver", -10.0)


def smw() -> Script:
    return Script(state=dict(SMW_OFF))


def sent(script: Script) -> list[str]:
    return [line for line in script.lines if line not in ("SYST:ERR?", "*IDN?")]


def allow(ceiling_dbm: float = -30.0) -> Permit:
    return permit("generator", ceiling_dbm, 10.0, (Path(RECEIVER, 0.0),), {})


# ---- settings --------------------------------------------------------------


def test_a_setting_is_sent_read_back_and_declared(tmp_path) -> None:
    script = smw()
    with Peer(script) as peer, session(peer, tmp_path) as live:
        generator = RohdeSchwarzSmw(live)
        generator.frequency_hz = 2.412e9
        generator.level_dbm = -30
        assert sent(script) == [
            ":SOUR1:FREQ 2412000000",
            ":SOUR1:FREQ?",
            ":SOUR1:POW -30",
            ":SOUR1:POW?",
        ]
        assert live.declared == ("frequency_hz", "level_dbm")
        assert generator.frequency_hz == 2.412e9


@pytest.mark.parametrize(
    "value", [31, -146, math.nan, math.inf, True, "1", None], ids=lambda value: repr(value)
)
def test_out_of_range_is_refused_and_never_sent(tmp_path, value) -> None:
    script = smw()
    with Peer(script) as peer, session(peer, tmp_path) as live:
        with pytest.raises(InputError, match=r"generator\.level_dbm"):
            RohdeSchwarzSmw(live).level_dbm = value
        assert sent(script) == []


def test_a_misspelt_setting_is_an_error_with_a_hint() -> None:
    generator = RohdeSchwarzSmw(Plan("generator"))
    with pytest.raises(InputError, match="did you mean level_dbm"):
        generator.level_dBm = -30
    with pytest.raises(InputError, match="no setting"):
        generator.switch_off = None
    with pytest.raises(InputError, match="no setting"):
        generator.limits = {}


def test_limits_narrow_and_never_widen() -> None:
    narrow = RohdeSchwarzSmw(Plan("generator"), {"level_dbm": (-100, -20)})
    with pytest.raises(InputError, match="-100 to -20 dBm"):
        narrow.level_dbm = -10
    for bad in ({"level_dbm": (-100, 40)}, {"level_dbm": (0, -1)}, {"volume": (0, 1)}):
        with pytest.raises(InputError, match=r"limits\."):
            RohdeSchwarzSmw(Plan("generator"), bad)


def test_what_reads_back_otherwise_is_an_error(tmp_path) -> None:
    script = smw()
    script.frozen.add(":SOUR1:POW")
    script.state[":SOUR1:POW"] = "-20"
    with Peer(script) as peer, session(peer, tmp_path) as live:
        generator = RohdeSchwarzSmw(live)
        with pytest.raises(NotApplied, match="-30 dBm"):
            generator.level_dbm = -30
        assert live.declared == ()


@given(st.integers(0, 360), st.integers(1, 24))
def test_a_value_off_the_step_is_refused_not_rounded(quarters, parts) -> None:
    plan = Plan("attenuator", MINI_CIRCUITS)
    attenuator = Rcdat(plan)
    attenuator.attenuation_db = quarters / 4
    assert f"attenuator: SETATT={quarters / 4:.15g} -> 1" in plan.lines
    with pytest.raises(InputError, match=r"off the step|out of range"):
        attenuator.attenuation_db = quarters / 4 + parts / 100


# ---- signal generators -----------------------------------------------------


def test_rf_goes_on_with_a_permit_only(tmp_path) -> None:
    script = smw()
    with Peer(script) as peer, session(peer, tmp_path) as live:
        generator = RohdeSchwarzSmw(live)
        generator.level_dbm = -25
        with pytest.raises(Excess, match="above the permitted -30"):
            generator.switch_on(allow(), modulated=False)
        other = permit("other", -30, 0, (Path(RECEIVER, 0),), {})
        with pytest.raises(Excess, match="permit is for other"):
            generator.switch_on(other, modulated=False)
        generator.level_dbm = -35
        with pytest.raises(NotApplied, match="is not on"):
            generator.switch_on(allow(), modulated=True)
        script.state[":SOUR1:POW:OFFS"] = "10"
        with pytest.raises(NotApplied, match="OFFS"):
            generator.switch_on(allow(), modulated=False)
        assert ":OUTP1 1" not in script.lines

        script.state[":SOUR1:POW:OFFS"] = "0"
        generator.switch_on(allow(), modulated=False)
        assert script.state[":OUTP1"] == "1"
        with pytest.raises(Excess, match="above the permitted"):
            generator.level_dbm = -29
        generator.level_dbm = -30
        with pytest.raises(Excess, match="while RF is on"):
            generator.arb = "on"
        with pytest.raises(Excess, match="while RF is on"):
            generator.load("/var/user/lte.wv")
        generator.switch_off()
        assert script.state[":OUTP1"] == "0"
        generator.arb = "on"


def test_a_generator_that_rebooted_is_left_off(tmp_path) -> None:
    script = smw()
    with Peer(script) as peer, session(peer, tmp_path) as live:
        generator = RohdeSchwarzSmw(live)
        generator.level_dbm = -35
        generator.switch_on(allow(), modulated=False)
        script.once[":SOUR1:FREQ?"] = [None]
        seen = len(script.lines)
        with pytest.raises(DeadlinePassed):
            live.query(":SOUR1:FREQ?", SHORT_S)
        again = [line for line in script.lines[seen:] if line != "SYST:ERR?"]
        assert again[2:] == [":OUTP1 0", ":OUTP1?", ":SOUR1:POW -35", ":SOUR1:POW?"]
        assert script.state[":OUTP1"] == "0"


def test_the_mxg_is_not_cw_by_mistake(tmp_path) -> None:
    state = {":OUTP": "0", ":POW:OFFS": "0", ":RAD:ARB": "1", ":OUTP:MOD": "0"}
    script = Script(state=state, table={":RAD:ARB:WAV?": '"WFM1:LTE"'})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        generator = KeysightMxg(live)
        generator.level_dbm = -35
        generator.load("LTE")
        with pytest.raises(NotApplied, match="OUTP:MOD"):
            generator.switch_on(allow(), modulated=True)
        generator.modulation = "on"
        generator.switch_on(allow(), modulated=True)
        assert ':RAD:ARB:WAV "WFM1:LTE"' in script.lines
        assert script.state[":OUTP"] == "1"


def test_a_waveform_name_cannot_carry_a_command() -> None:
    generator = RohdeSchwarzSmw(Plan("generator"))
    with pytest.raises(InputError, match="no name of a waveform"):
        generator.load("a';:OUTP1 1;:FREQ '")


def test_the_smw_has_two_paths(tmp_path) -> None:
    plan = Plan("generator")
    RohdeSchwarzSmw(plan, path=2).frequency_hz = 1e9
    assert "generator: :SOUR2:FREQ 1000000000" in plan.lines
    with pytest.raises(InputError, match="no path"):
        RohdeSchwarzSmw(plan, path=3)


# ---- permits ---------------------------------------------------------------


def test_a_reboot_of_an_attenuator_is_reckoned_with() -> None:
    path = Path(RECEIVER, 20.0, ("attenuator",))
    reads = {"attenuator": Attenuation(60.0)}
    with pytest.raises(Excess, match=r"receiver would get 0\.0 dBm with every .* \(a reboot\)"):
        permit("generator", 10.0, 10.0, (path,), reads)
    assert permit("generator", 0.0, 10.0, (path,), reads).predictions[0].worst_dbm == -10
    rebooted = {"attenuator": Attenuation(0.0, least_db=60.0)}
    with pytest.raises(Excess, match="now"):
        permit("generator", 10.0, 10.0, (path,), rebooted)
    starts_high = {"attenuator": Attenuation(60.0, least_db=60.0)}
    assert permit("generator", 10.0, 10.0, (path,), starts_high).ceiling_dbm == 10


@pytest.mark.parametrize(
    ("level", "crest", "paths", "reads"),
    [
        (-30, 0, (), {}),
        (-30, 0, (Path(RECEIVER, 0, ("x",)),), {}),
        (math.nan, 0, (Path(RECEIVER, 0),), {}),
        (-30, -5, (Path(RECEIVER, 0),), {}),
        (-30, 0, (Path(RECEIVER, math.nan),), {}),
        (-30, 0, (Path(Port("receiver", math.nan), 0),), {}),
        (-30, 0, (Path(RECEIVER, 0, ("x",)),), {"x": Attenuation(math.nan)}),
    ],
)
def test_what_is_not_known_is_not_permitted(level, crest, paths, reads) -> None:
    with pytest.raises(Excess):
        permit("generator", level, crest, paths, reads)


levels = st.floats(-120, 30)
losses = st.floats(-20, 90)


@given(levels, st.floats(0, 12), losses, st.floats(0, 90), st.floats(0, 90), st.floats(0, 3))
def test_no_permit_lets_more_through_than_the_port_bears(level, crest, loss, now, least, off):
    path = Path(RECEIVER, loss, ("a",))
    reads = {"a": Attenuation(now, least, off)}
    most = predict(level + crest, path, reads).worst_dbm
    assert most >= level + crest - loss - min(now, least)
    try:
        given_permit = permit("generator", level, crest, (path,), reads)
    except Excess:
        assert most > RECEIVER.max_input_dbm
    else:
        assert max(one.worst_dbm for one in given_permit.predictions) <= RECEIVER.max_input_dbm


def test_what_reaches_one_port_together_is_refused() -> None:
    """Each of three would be borne alone; the envelope of two carriers peaks 6 dB higher."""

    def asked(name: str, level_dbm: float, *beside: Permit) -> Permit:
        return permit(name, level_dbm, 0.0, (Path(RECEIVER, 0.0),), {}, beside)

    one = asked("one", -10.0)
    with pytest.raises(Excess, match=r"receiver would get up to -4\.0 dBm together with one; it"):
        asked("two", -10.0, one)
    low = asked("one", -16.1)
    two = asked("two", -16.1, low)
    with pytest.raises(Excess, match=r"together with one, two"):
        asked("three", -40.0, low, two)
    elsewhere = permit("three", 0.0, 0.0, (Path(Port("monitor", 0.0), 0.0),), {}, (low, two))
    assert elsewhere.ceiling_dbm == 0.0


def test_two_ways_of_one_emitter_to_a_port_add() -> None:
    path = Path(RECEIVER, 0.0)
    with pytest.raises(Excess, match=r"up to -6\.0 dBm by all its ways"):
        permit("generator", -12.0, 0.0, (path, path), {})


@given(st.lists(st.tuples(levels, st.floats(0, 12), losses), min_size=2, max_size=4))
def test_no_permits_let_more_through_together_than_the_port_bears(asked) -> None:
    given_permits: list[Permit] = []
    for number, (level, crest, loss) in enumerate(asked):
        room = room_dbm(RECEIVER, given_permits)
        with contextlib.suppress(Excess):
            given_permits.append(
                permit(f"{number}", level, crest, (Path(RECEIVER, loss),), {}, given_permits)
            )
            assert level + crest - loss <= room + 1e-6
    peaks = [one.predictions[0].worst_dbm for one in given_permits]
    total = sum(10 ** (peak / 20) for peak in peaks)
    assert total <= 10 ** (RECEIVER.max_input_dbm / 20) * (1 + 1e-9)


# ---- attenuators -----------------------------------------------------------


def rcdat(colon: str = "") -> Script:
    script = Script()
    script.state["att"] = "0.00"

    def answer(line: str):
        script.lines.append(line)
        if line.startswith(f"{colon}SETATT="):
            script.state["att"] = line.partition("=")[2]
            return script.once.get("SETATT", ["1"])[0]
        known = {"MN?": "MN=RCDAT-6000-90", "SN?": "SN=115", "ATT?": script.state["att"]}
        return known.get(line.removeprefix(colon), "-1 unknown command")

    script.answer = answer
    return script


MINI = {"identity": Identity("Mini-Circuits", "RCDAT-6000-90"), "read_termination": "\r\n"}


@pytest.mark.parametrize(("kind", "colon"), [(Rcdat, ""), (RcdatScpi, ":")])
def test_an_attenuator_over_telnet_and_scpi(tmp_path, kind, colon) -> None:
    script = rcdat(colon)
    with (
        Peer(script.answer, end="\r\n", greeting="\r\n") as peer,
        session(peer, tmp_path, role="attenuator", dialect=kind.dialect, **MINI) as live,
    ):
        attenuator = kind(live)
        attenuator.attenuation_db = 12.25
        assert f"{colon}SETATT=12.25" in script.lines
        assert attenuator.attenuation_db == 12.25
        assert attenuator.state(0.0, 0.5) == Attenuation(12.25, 0.0, 0.5)
        attenuator.make_safe()
        assert script.state["att"] == "90"
        script.once["SETATT"] = ["0"]
        with pytest.raises(NotApplied, match="refused"):
            attenuator.attenuation_db = 1


def test_an_attenuator_whose_answers_slip_is_noticed(tmp_path) -> None:
    script = rcdat()
    with (
        Peer(script.answer, end="\r\n") as peer,
        session(peer, tmp_path, role="attenuator", dialect=MINI_CIRCUITS, **MINI) as live,
    ):
        good = peer.script
        peer.script = lambda line: "1\r\n12.25" if line == "ATT?" else good(line)
        with pytest.raises((Desynchronised, NotApplied)):
            _ = Rcdat(live).attenuation_db
        assert live.taints


def test_an_attenuator_is_asked_who_it_is_behind_each_step_by_one_question_in_turn(
    tmp_path,
) -> None:
    script = rcdat()
    with (
        Peer(script.answer, end="\r\n") as peer,
        session(peer, tmp_path, role="attenuator", dialect=MINI_CIRCUITS, **MINI) as live,
    ):
        script.lines.clear()
        for _ in range(2):
            assert Rcdat(live).attenuation_db == 0
        assert script.lines in (["ATT?", who, "ATT?", other] for who, other in WAYS)
        good, peer.script = peer.script, lambda line: "SN=9" if line == "SN?" else good(line)
        if script.lines[-1] == "SN?":
            assert Rcdat(live).attenuation_db == 0
        with pytest.raises(Broken, match=r"another instrument answers: .*serial=.9"):
            _ = Rcdat(live).attenuation_db


WAYS = (("MN?", "SN?"), ("SN?", "MN?"))


def test_what_an_attenuator_says_between_two_steps_is_no_answer(tmp_path) -> None:
    script = rcdat()

    def chatty(line: str) -> str:
        answer = script.answer(line)
        return f"{answer}\r\n{script.state['more']}" if line in ("MN?", "SN?") else answer

    script.state["more"] = ""
    with (
        Peer(script.answer, end="\r\n") as peer,
        session(peer, tmp_path, role="attenuator", dialect=MINI_CIRCUITS, **MINI) as live,
    ):
        attenuator = Rcdat(live)
        peer.script = chatty
        for _ in range(2):
            assert attenuator.attenuation_db == 0, "empty lines are nothing"
        script.state["more"] = "12.25"
        assert attenuator.attenuation_db == 0
        peer.script = script.answer
        script.lines.clear()
        with pytest.raises(Desynchronised, match=r"12\.25.* came unasked"):
            _ = attenuator.attenuation_db
        assert "ATT?" not in script.lines
        assert live.taints


# ---- supply ----------------------------------------------------------------


def test_a_supply_has_limits_and_its_output_is_verified(tmp_path) -> None:
    for limits in (None, {"voltage_v": (0, 12)}, LIMITS | {"current_a": (0, 2)}):
        with pytest.raises(InputError, match="limits"):
            E36312A(Plan("supply"), limits, output=2)
    script = Script(table={"MEAS:VOLT? (@2)": "+1.19990000E+01", "MEAS:CURR? (@2)": "9.91E37"})
    with Peer(script) as peer, session(peer, tmp_path, role="supply") as live:
        supply = E36312A(live, LIMITS, output=2)
        supply.voltage_v = 12
        assert script.lines[-3:] == ["VOLT 12,(@2)", "VOLT? (@2)", "SYST:ERR?"]
        with pytest.raises(InputError):
            supply.voltage_v = 12.1
        supply.switch_on()
        assert script.state["OUTP (@2)"] == "1"
        assert supply.voltage().number() == 11.999
        assert not supply.current().valid
        supply.make_safe()
        assert script.state["OUTP (@2)"] == "0"
        script.frozen.add("OUTP")
        with pytest.raises(NotApplied):
            supply.switch_on()


# ---- the safe state --------------------------------------------------------


def lit(script: Script, live) -> RohdeSchwarzSmw:
    generator = RohdeSchwarzSmw(live)
    generator.level_dbm = -35
    generator.switch_on(allow(), modulated=False)
    assert script.state[":OUTP1"] == "1"
    return generator


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_rf_is_off_on_every_way_out(tmp_path, error) -> None:
    script = smw()
    script.state[":OUTP1"] = "1"  # a run before this one was killed
    with Peer(script) as peer, session(peer, tmp_path) as live:

        def work() -> None:
            with SafeState([RohdeSchwarzSmw(live)]):
                assert script.state[":OUTP1"] == "0"
                lit(script, live)
                if error:
                    raise error

        if error:
            with pytest.raises(error):
                work()
        else:
            work()
        assert script.state[":OUTP1"] == "0"
        assert script.lines[-2:] == [":OUTP1?", "SYST:ERR?"]


def test_errors_a_lost_answer_and_a_broken_session_do_not_stand_in_its_way(tmp_path) -> None:
    script = smw()
    with Peer(script) as peer, session(peer, tmp_path) as live:

        def report_errors() -> None:
            with SafeState([lit(script, live)]):
                lit(script, live)
                script.errors += ['-222,"Data out of range"'] * 3
                live.command(":SOUR1:FREQ 1")

        def lose_it() -> None:
            with SafeState([RohdeSchwarzSmw(live)]):
                lit(script, live)
                script.once["X?"] = [None]
                script.once["*IDN?"] = ["Acme,Other,1,1"]
                live.query("X?", SHORT_S)

        with pytest.raises(Reported):
            report_errors()
        assert script.state[":OUTP1"] == "0"
        with pytest.raises(Broken):
            lose_it()
        assert script.state[":OUTP1"] == "0"


def test_off_that_is_not_verified_is_said(tmp_path) -> None:
    script = smw()
    with Peer(script) as peer, session(peer, tmp_path) as live:
        other = E36312A(Plan("supply"), LIMITS, output=2)
        safe = SafeState([lit(script, live), other])
        script.frozen.add(":OUTP1")
        with pytest.raises(NotSafe, match=r"generator: :OUTP1\? answers '1'"):
            safe.make_safe()
        assert 'supply: OUTP? (@2);:SYST:ERR? -> 0;0,"No error"' in other.channel.lines


def test_ctrl_c_within_the_safe_state_does_not_skip_the_rest() -> None:
    done: list[str] = []

    class One:
        channel = Plan("one")

        def make_safe(self) -> None:
            done.append("one")
            if len(done) == 1:
                raise KeyboardInterrupt

    class Two:
        channel = Plan("two")

        def make_safe(self) -> None:
            done.append("two")

    with pytest.raises(KeyboardInterrupt):
        SafeState([One(), Two()]).make_safe()
    assert done == ["one", "one", "two"]
