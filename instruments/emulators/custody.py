"""Custody of network interfaces: taken, made ready for an emulator, and always given back as found.

How each interface was is written to a journal before anything is changed
(:mod:`instruments.emulators.journal`), and a small process puts it back should this one be killed
(:mod:`instruments.emulators.guardian`). Where that is killed as well, the next custody in the same
network namespace does it, or :func:`leftovers`. Addresses and routes are never touched.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import InputError
from instruments.emulators import rtnetlink, settings
from instruments.emulators.base import EmulatorError
from instruments.emulators.guardian import Guardian
from instruments.emulators.journal import (
    Entry,
    Former,
    Journal,
    Owner,
    adopt,
    boot_id,
    recover,
    restore,
    state_folder,
)
from instruments.emulators.refusals import (
    find_links,
    own_qdisc,
    quiet_possible,
    refuse_own_qdiscs,
    refuse_without_privilege,
)
from instruments.emulators.ring import interface_mtu
from instruments.emulators.rtnetlink import Link

_SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 1, 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LEFT_BY_DEAD_S = 2.0


class Custody:
    """Holds interfaces from entering to leaving; they come in pairs, each the ends of a link.

    Args:
        ifnames: interfaces of the current network namespace.
        force: those of them that may carry the default route or be in use.
        kernel: whether queueing disciplines will be put on them (netem).
        socket_path: a Unix socket of this process, to be removed should it be killed.
        folder: where the journals go; None: the usual state folder.

    Attributes:
        notes: what is worth knowing about these interfaces, for people.
    """

    def __init__(
        self,
        ifnames: Sequence[str],
        *,
        force: Collection[str] = (),
        kernel: bool = False,
        socket_path: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self._ifnames, self._force, self._kernel = tuple(ifnames), tuple(force), kernel
        self._socket_path = socket_path
        self._folder = None if folder is None else folder.absolute()
        self._owner = Owner.me()
        self._held: list[tuple[Entry, Former]] = []
        self._promiscuous: list[socket.socket] = []
        self._guardian: Guardian | None = None
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        """Take the interfaces: up, silent, without offloads, receiving everything.

        Raises:
            InputError: one is missing, needed by the host or in use; no privileges.
            EmulatorError: the system refuses for another reason; all is as before.
        """
        with _undisturbed():
            folder = self._folder = self._folder or journal_folder()
            self.notes += recover(folder)  # first: what is left may be what would be refused
            found = find_links(self._ifnames, self._force)
            refuse_without_privilege(found)
            if self._kernel:
                refuse_own_qdiscs(found)
            try:
                self._say_what_differs(found)
                self._guardian = Guardian(folder, self._owner)
                for link in sorted(found, key=lambda link: link.index):
                    self._take(link, folder)
                for _, former in self._held:
                    self._prepare(former)
            except BaseException as error:
                self._give_back()
                if isinstance(error, OSError):
                    raise EmulatorError(f"cannot take the interfaces: {error}") from error
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the interfaces back.

        Raises:
            EmulatorError: something could not be put back; its journal is kept.
        """
        with _undisturbed():
            problems = self._give_back()
        if problems:
            raise EmulatorError(f"not as before: {'; '.join(problems)}")

    @property
    def guardian_pid(self) -> int | None:
        """The guardian's process number while the custody lasts."""
        return None if self._guardian is None else self._guardian.pid

    def keep_guarded(self) -> bool:
        """Start the guardian again where it was killed; whether that was so. Call it now and then.

        Raises:
            EmulatorError: it cannot be started.
        """
        if self._guardian is None or self._guardian.alive:
            return False
        self._guardian.dismiss()
        try:
            self._guardian = Guardian(self._folder or journal_folder(), self._owner)
        except OSError as error:
            raise EmulatorError(str(error)) from error
        return True

    def without_carrier(self) -> tuple[str, ...]:
        """The interfaces at which nothing is connected, or not ready yet."""
        return tuple(name for name in self._ifnames if not settings.flags(name) & settings.RUNNING)

    def _say_what_differs(self, found: Sequence[Link]) -> None:
        for one, other in zip(found[::2], found[1::2], strict=True):
            sizes = interface_mtu(one.name), interface_mtu(other.name)
            if sizes[0] != sizes[1]:
                self.notes.append(
                    f"{one.name} and {other.name} have different MTUs ({sizes[0]}, {sizes[1]}): "
                    "what is too large for the other side is dropped"
                )
        for link in found:
            if there := own_qdisc(link):
                self.notes.append(
                    f"{link.name} has a queueing discipline of its own ({there}), which may "
                    "delay or drop as well"
                )

    # ---- taking

    def _take(self, link: Link, folder: Path) -> None:
        """Lock the interface and write down how it is."""
        inode, cookie = rtnetlink.namespace()
        entry = Entry(folder / f"{inode}-{link.index}.json")
        former = self._look(link)
        if not entry.lock(_patience(entry)):
            other = entry.read()
            if link.name not in self._force:
                raise _in_use(link, other)
            former = adopt(former, other)
            entry = Entry(folder / f"{inode}-{link.index}-{self._owner.pid}.json")
            entry.lock()
        self._held.append((entry, former))
        entry.write(Journal(boot_id(), inode, cookie, self._owner, former, self._socket_path))

    def _look(self, link: Link) -> Former:
        flags = settings.flags(link.name)
        silent = quiet_possible(link)
        if not silent:
            self.notes.append(
                f"{link.name} has addresses: this host goes on using it, and its own packets "
                "travel on the link"
            )
        asked = settings.features(link.name)
        return Former(
            ifindex=link.index,
            ifname=link.name,
            mac=link.mac,
            up=bool(flags & settings.UP),
            arp=not flags & settings.NO_ARP,
            ipv6=settings.ipv6_disabled(link.name) if silent else None,
            features={name: asked[name] for name in settings.batching(asked)},
            qdiscs=rtnetlink.qdiscs(link.index),
            master=link.master,
        )

    def _prepare(self, former: Former) -> None:
        name = former.ifname
        silent = former.ipv6 is not None or quiet_possible(_link(former))
        if former.ipv6 is not None and former.ipv6 != "1":
            try:
                settings.set_ipv6_disabled(name, "1")
            except OSError as error:
                self.notes.append(f"{name}: IPv6 stays on ({error.strerror})")
        settings.set_features(name, dict.fromkeys(former.features, False))
        settings.set_flags(name, on=settings.UP | (settings.NO_ARP if silent else 0))
        # Through a socket: the kernel takes the promiscuity back when this process ends.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._promiscuous.append(sock)
        request = struct.pack("iHH8s", former.ifindex, _PROMISCUOUS, 0, b"")
        sock.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)

    # ---- giving back

    def _give_back(self) -> list[str]:
        for sock in self._promiscuous:
            sock.close()
        self._promiscuous.clear()
        problems: list[str] = []
        for entry, former in self._held:
            try:
                found = restore(former)
            except OSError as error:
                found = [f"{former.ifname}: {error}"]
            entry.close(remove=not found)
            problems += found
        self._held.clear()
        if self._guardian is not None:
            self._guardian.dismiss()
            self._guardian = None
        return problems


def journal_folder() -> Path:
    """The state folder.

    Raises:
        InputError: it cannot be made, or is not this user's alone.
    """
    try:
        return state_folder()
    except OSError as error:
        raise InputError(
            error.strerror or "cannot be made",
            remedy="name a folder of your own with TELEMED_BENCH_STATE",
            field="state folder",
            value=error.filename,
        ) from error


def _link(former: Former) -> Link:
    return Link(former.ifindex, former.ifname, former.mac, "", False, former.master, None)


def _patience(entry: Entry) -> float:
    """How long to wait for the lock: what a killed run has left is being put back just now."""
    journal = entry.read()
    return 0.0 if journal is not None and journal.owner.alive else _LEFT_BY_DEAD_S


def _in_use(link: Link, other: Journal | None) -> InputError:
    who = f"process {other.owner.pid}" if other is not None else "another process"
    return InputError(
        f"is in use by {who}",
        remedy=f"end that first, or insist with --force {link.name}",
        field="interface",
        value=link.name,
    )


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals wait until this is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leftovers(folder: Path | None = None) -> list[str]:
    """Put back what killed runs left in this network namespace; one line for each interface.

    Empty where nothing was left, or this user has no right to look.
    """
    try:
        return recover(folder or state_folder())
    except OSError:
        return []
