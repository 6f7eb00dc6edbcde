"""A SCPI instrument without input or output of its own: messages in, responses out.

The status model is that of IEEE 488.2-1992, chapter 11, with the error queue of SCPI-1999.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bench.network.radio.state import RadioState
from bench.network.radio.world import NoPathLoss
from instruments.simulators.outcome import NOTHING, Outcome, Strikes
from instruments.simulators.place import Place
from instruments.simulators.scpi_errors import ErrorQueue, ScpiError, esr_bit
from instruments.simulators.scpi_syntax import Argument, Expression, Unit, Word, units
from instruments.simulators.scpi_tree import Call, Command, Tree
from instruments.simulators.scpi_values import Boolean, Kind, Number, Value, channel_list

OPC, PON = 1, 1 << 7
_EAV, _MAV, _ESB, _MSS = 1 << 2, 1 << 4, 1 << 5, 1 << 6
_SORTS = {"*IDN": "identity", "*OPC": "opc"}
_BYTE = Number(0, 255, resolution=1, whole=True)


@dataclass(frozen=True)
class Model:
    """An instrument as its manual describes it.

    Attributes:
        kind: what ``bench simulate instrument`` calls it.
        identity: the answer to ``*IDN?``.
        commands: its own; those of IEEE 488.2 and ``SYSTem`` are added.
        options: the answer to ``*OPT?``.
        source: the manual that the commands are from.
    """

    kind: str
    identity: str
    commands: tuple[Command, ...]
    options: str = "0"
    source: str = ""


class ScpiInstrument:
    """One instrument, with one status and one error queue for all its connections.

    Args:
        model: what it is.
        place: where it stands in the radio world.
    """

    def __init__(self, model: Model, place: Place) -> None:
        self.model = model
        self.place = place
        self.identity = model.identity
        self.tree = Tree((*COMMON, *model.commands))
        self.errors = ErrorQueue()
        self.offset = 0.0
        self._settings: dict[tuple[str, tuple[int, ...]], Value] = {}
        self._defaults = {c.name: c for c in self.tree.commands if c.name}
        self._esr, self._ese, self._sre = PON, 0, 0
        self._pending = False

    # ---- settings -----------------------------------------------------------

    def get(self, name: str, *suffixes: int) -> Value:
        """A setting."""
        key = (name, suffixes)
        if key in self._settings:
            return self._settings[key]
        return self._defaults[name].default_for(suffixes)

    def number(self, name: str, *suffixes: int) -> float:
        """A setting that is a number."""
        return float(self.get(name, *suffixes))

    def put(self, name: str, value: Value, *suffixes: int) -> None:
        """Write a setting."""
        self._settings[name, suffixes] = value

    @property
    def settings(self) -> Mapping[tuple[str, tuple[int, ...]], Value]:
        """What differs from the defaults, or was written."""
        return MappingProxyType(self._settings)

    def reset(self) -> None:
        """``*RST``: the settings go to their defaults; status and error queue stay."""
        self._settings = {
            key: value for key, value in self._settings.items() if self._defaults[key[0]].retained
        }

    def power_on(self) -> None:
        """As after the mains came back."""
        self._settings = {}
        self.clear()
        self._esr, self._ese, self._sre = PON, 0, 0

    def radio(self) -> RadioState:
        """What it does to the radio world."""
        return RadioState()

    # ---- status -------------------------------------------------------------

    def clear(self) -> None:
        """``*CLS``."""
        self.errors.clear()
        self._esr = 0

    def complain(self, error: ScpiError) -> None:
        """Put an error into the queue and its bit into the event status register."""
        self.errors.put(error)
        self._esr |= esr_bit(error.code)

    def complete(self) -> None:
        """``*OPC``: nothing here takes time, so it is complete at once."""
        self._esr |= OPC

    def take_esr(self) -> int:
        """The event status register, which reading clears."""
        esr, self._esr = self._esr, 0
        return esr

    def status_byte(self) -> int:
        """The status byte as ``*STB?`` returns it, with the master summary in bit 6."""
        byte = (_EAV if len(self.errors) else 0) | (_MAV if self._pending else 0)
        byte |= _ESB if self._esr & self._ese else 0
        return byte | (_MSS if byte & self._sre & ~_MSS else 0)

    def enable(self, register: str, mask: int | None = None) -> int:
        """Read, or write and read, the mask ``ese`` or ``sre``."""
        if mask is not None and register == "ese":
            self._ese = mask
        elif mask is not None:
            self._sre = mask & ~_MSS
        return self._ese if register == "ese" else self._sre

    # ---- messages -----------------------------------------------------------

    def handle(self, message: bytes | None, strikes: Strikes = NOTHING) -> Outcome:
        """Carry out one message, without its terminator (None: one that was too long).

        After a command error the rest of the message is not carried out.
        """
        outcome = Outcome(struck=True)
        due = strikes.error
        if message is None:
            self._fail(outcome, ScpiError(-363))
            return outcome
        responses: list[str] = []
        try:
            for unit in units(message):
                self._pending = bool(responses)
                try:
                    answer = self._within_world(unit)
                except ScpiError as error:
                    if -199 <= error.code <= -100:
                        raise
                    self._fail(outcome, error)
                    continue
                if answer is not None:
                    struck = strikes.instead is not None and self._struck(unit, strikes.instead_on)
                    responses.append(str(strikes.instead) if struck else answer)
                if due is not None and self._struck(unit, strikes.error_on):
                    self.inject(*due)
                    due = None
        except ScpiError as error:
            self._fail(outcome, error)
        self._pending = False
        if due is not None:
            self.inject(*due)
        if responses:
            outcome.response = ";".join(responses).encode("latin-1")
        return outcome

    def _fail(self, outcome: Outcome, error: ScpiError) -> None:
        outcome.errors.append(str(error))
        outcome.codes.append(error.code)
        self.complain(error)

    # ---- what faults ask ----------------------------------------------------

    def inject(self, code: int, text: str) -> None:
        """Report an error that nothing caused."""
        self.complain(ScpiError(code, text=text or None))

    def _struck(self, unit: Unit, command: str) -> bool:
        """Whether a fault strikes this one of a message's commands."""
        own = self.tree.find(unit.header)[0]
        if not command:
            return own not in COMMON
        wanted = self._commands(command.encode("latin-1", "replace"))
        return any(one is own and (unit.query or not query) for one, query in wanted)

    def sorts(self, message: bytes) -> frozenset[str]:
        """What a message is: ``query``, ``measurement``, ``identity``, ``opc``."""
        found = set()
        for command, query in self._commands(message):
            if query:
                status = command in COMMON
                found |= {"query", _SORTS.get(command.header, "")}
                found |= set() if status else {"measurement"}
        return frozenset(found - {""})

    def meant(self, message: bytes, command: str) -> bool:
        """The message holds this command, in whatever spelling; with ``?`` only as a query."""
        wanted = self._commands(command.encode("latin-1", "replace"))
        return bool(wanted) and all(
            any(one is found and (asked or not query) for found, asked in self._commands(message))
            for one, query in wanted
        )

    def _commands(self, message: bytes) -> list[tuple[Command, bool]]:
        """The commands of a message, and whether each is a query, as far as they are known."""
        found = []
        try:
            for unit in units(message):
                found.append((self.tree.find(unit.header)[0], unit.query))
        except ScpiError:
            pass
        return found

    def _within_world(self, unit: Unit) -> str | None:
        try:
            return self._carry_out(unit)
        except NoPathLoss as error:  # the laboratory's fault, not the client's: never a figure
            raise ScpiError(-310, str(error)) from error

    def _carry_out(self, unit: Unit) -> str | None:
        command, suffixes = self.tree.find(unit.header)
        if unit.query:
            if not command.readable:
                raise ScpiError(-113, unit.text)
            return self._answer(command, suffixes, unit.arguments)
        if not command.writable:
            raise ScpiError(-113, unit.text)
        if command.kind is None:
            values = _read_all(command.takes, command.optional, unit.arguments)
            assert command.do is not None
            command.do(Call(self, suffixes, values))
        else:
            self._write(command, suffixes, unit.arguments)
        return None

    def _kind(self, command: Command, suffixes: tuple[int, ...]) -> Kind:
        assert command.kind is not None
        return command.limits(Call(self, suffixes)) if command.limits else command.kind

    def _write(
        self, command: Command, suffixes: tuple[int, ...], arguments: tuple[Argument, ...]
    ) -> None:
        places = [suffixes]
        if command.channels:
            arguments, places = self._places(command, suffixes, arguments)
        if len(arguments) != 1:
            raise ScpiError(-108 if arguments else -109)
        kinds = [(place, self._kind(command, place)) for place in places]
        values = [(place, kind.read(arguments[0])) for place, kind in kinds]
        for place, value in values:
            if command.check is not None:
                command.check(Call(self, place, (value,)))
        for place, value in values:
            self.put(command.name, value, *place)
            if command.then is not None:
                command.then(Call(self, place, (value,)))

    def _places(
        self, command: Command, suffixes: tuple[int, ...], arguments: tuple[Argument, ...]
    ) -> tuple[tuple[Argument, ...], list[tuple[int, ...]]]:
        """What is left of the arguments, and the channels that they are for."""
        if arguments and isinstance(arguments[-1], Expression):
            channels = channel_list(arguments[-1], command.channels)
            return arguments[:-1], [(*suffixes, channel) for channel in channels]
        return arguments, [(*suffixes, self.selected_channel())]

    def selected_channel(self) -> int:
        """The channel that is meant where no list is given."""
        return 1

    def _answer(
        self, command: Command, suffixes: tuple[int, ...], arguments: tuple[Argument, ...]
    ) -> str:
        places = [suffixes]
        if command.channels:
            arguments, places = self._places(command, suffixes, arguments)
        if command.ask is not None:
            values = _read_all(command.asks, command.optional, arguments)
            return ",".join(command.ask(Call(self, place, values)) for place in places)
        if len(arguments) > 1:
            raise ScpiError(-108)
        return ",".join(self._show(command, place, arguments) for place in places)

    def _show(
        self, command: Command, place: tuple[int, ...], arguments: tuple[Argument, ...]
    ) -> str:
        kind = self._kind(command, place)
        if not arguments:
            return kind.show(self.get(command.name, *place))
        limit = arguments[0]
        if not isinstance(kind, Number):
            raise ScpiError(-108)
        if not isinstance(limit, Word):
            raise ScpiError(-104)
        return kind.show(kind.named(limit.text))


def _read_all(
    kinds: Sequence[Kind], optional: int, arguments: tuple[Argument, ...]
) -> tuple[Value, ...]:
    if len(arguments) > len(kinds):
        raise ScpiError(-108)
    if len(arguments) < len(kinds) - optional:
        raise ScpiError(-109)
    return tuple(kind.read(one) for kind, one in zip(kinds, arguments, strict=False))


def _all_errors(call: Call) -> str:
    errors = call.instrument.errors
    found = [errors.take()]
    while len(errors):
        found.append(errors.take())
    return ",".join(found)


def _set_mask(register: str) -> Callable[[Call], None]:
    def do(call: Call) -> None:
        call.instrument.enable(register, int(call.values[0]))

    return do


COMMON: tuple[Command, ...] = (
    Command("*IDN", ask=lambda call: call.instrument.identity),
    Command("*OPT", ask=lambda call: call.instrument.model.options),
    Command("*RST", do=lambda call: call.instrument.reset()),
    Command("*CLS", do=lambda call: call.instrument.clear()),
    Command("*OPC", do=lambda call: call.instrument.complete(), ask=lambda _: "1"),
    Command("*WAI", do=lambda _: None),
    Command("*TRG", do=lambda _: None),
    Command("*TST", ask=lambda _: "0"),
    Command("*ESR", ask=lambda call: str(call.instrument.take_esr())),
    Command("*STB", ask=lambda call: str(call.instrument.status_byte())),
    Command(
        "*ESE",
        takes=(_BYTE,),
        do=_set_mask("ese"),
        ask=lambda call: str(call.instrument.enable("ese")),
    ),
    Command(
        "*SRE",
        takes=(_BYTE,),
        do=_set_mask("sre"),
        ask=lambda call: str(call.instrument.enable("sre")),
    ),
    Command(":SYSTem:ERRor[:NEXT]", ask=lambda call: call.instrument.errors.take()),
    Command(":SYSTem:ERRor:ALL", ask=_all_errors),
    Command(":SYSTem:ERRor:COUNt", ask=lambda call: str(len(call.instrument.errors))),
    Command(":SYSTem:VERSion", ask=lambda _: "1999.0"),
    Command(":SYSTem:PRESet", do=lambda call: call.instrument.reset()),
    Command(":SYSTem:LOCal", do=lambda _: None),
    Command(":SYSTem:REMote", do=lambda _: None),
    Command(":SYSTem:DISPlay:UPDate", "display_update", Boolean(), True),
)
"""What every SCPI instrument here understands (IEEE 488.2, 10; SCPI-1999 volume 2, 21)."""
