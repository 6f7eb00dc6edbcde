"""The custody journal: how interfaces were before the bench changed them, and putting it back.

One file per interface in the state folder, ``<namespace inode>-<interface index>.json``. Its lock
(flock) is held as long as somebody uses the interface; its content is written once, before
anything is changed. So an empty or half-written file means that nothing was changed, and a file
that can be locked and has content is what a killed run left.

Standard library only: the guardian process, which must stay small, uses it too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from instruments.emulators import settings
from instruments.emulators.rtnetlink import (
    Link,
    Qdisc,
    delete_link,
    delete_qdisc,
    leave_master,
    links,
    namespace,
    qdiscs,
)

_AGAIN_S = 0.02
_BRIDGE = "tmb-wire"
"""With an interface's index: the bridge that joins it to another (``qdiscs``)."""


@dataclass(frozen=True, slots=True)
class Former:
    """How an interface was.

    ``ipv6``: its ``disable_ipv6``, None where it stays untouched; ``features``: whether each
    feature that is going to be switched was asked for.
    """

    ifindex: int
    ifname: str
    mac: str
    up: bool
    arp: bool
    ipv6: str | None
    features: Mapping[str, bool]
    qdiscs: tuple[Qdisc, ...]
    master: int | None


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, by its number and when it started: numbers are used again."""

    pid: int
    start: int

    @classmethod
    def me(cls) -> Owner:
        """The running process."""
        return cls(os.getpid(), process_start(os.getpid()) or 0)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return process_start(self.pid) == self.start


@dataclass(frozen=True, slots=True)
class Journal:
    """What is written for one interface. ``cookie`` names the network namespace for good."""

    boot: str
    netns: int
    cookie: int | None
    owner: Owner
    former: Former
    socket: str | None = None

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Journal | None:
        """From JSON; None where it is not whole."""
        try:
            data: dict[str, Any] = json.loads(text)
            former = data["former"]
            former["qdiscs"] = tuple(Qdisc(**each) for each in former["qdiscs"])
            return cls(**{**data, "owner": Owner(**data["owner"]), "former": Former(**former)})
        except (ValueError, TypeError, KeyError):
            return None

    @property
    def here(self) -> bool:
        """Whether it speaks of this network namespace, and of this boot."""
        inode, cookie = namespace()
        return (self.boot, self.netns, self.cookie) == (boot_id(), inode, cookie)


def process_start(pid: int) -> int | None:
    """When process ``pid`` started, in clock ticks since boot; None where there is none.

    With the number it names a process for good: numbers are used again.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may itself hold some.
    return int(text.rpartition(")")[2].split()[19])


def boot_id() -> str:
    """What the kernel calls the host's present boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def state_folder() -> Path:
    """Where the journals are; made with mode 0700 where it is missing.

    ``TELEMED_BENCH_STATE``, else ``telemed-bench`` below ``/run`` (root) or the user's runtime
    folder, else a folder of the user below that for temporary files.

    Raises:
        OSError: it cannot be made, or it is not this user's alone.
    """
    named = os.environ.get("TELEMED_BENCH_STATE")
    folder = Path(named).absolute() if named else _usual_folder()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "is not a folder of this user alone (0700)", str(folder))
    return folder


def _usual_folder() -> Path:
    user = _outer_user()
    for base in ("/run",) if user == 0 else (f"/run/user/{user}",):
        if os.access(base, os.W_OK):
            return Path(base) / "telemed-bench"
    return Path(tempfile.gettempdir()) / f"telemed-bench-state-{user}"


def _outer_user() -> int:
    """The user's number as the host knows it, also from within a user namespace."""
    try:
        first = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
        inside, outside, _ = (int(word) for word in first[:3])
    except (OSError, ValueError):
        return os.geteuid()
    return os.geteuid() - inside + outside


class Entry:
    """The file of one interface: a lock, and the journal in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def lock(self, within_s: float = 0.0, make: bool = True) -> bool:
        """Take the lock; False where somebody else holds it all that time, or it is not there."""
        deadline = time.monotonic() + within_s
        while True:
            if self._try(make):
                return True
            if time.monotonic() >= deadline or not (make or self.path.exists()):
                return False
            time.sleep(_AGAIN_S)

    def _try(self, make: bool) -> bool:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if make else 0)
        try:
            fd = os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_ino == self.path.stat().st_ino:
                self._fd = fd
                return True
        except (BlockingIOError, FileNotFoundError):
            pass  # held, or just removed by the one who held it
        os.close(fd)
        return False

    def read(self) -> Journal | None:
        """What is written there, also without the lock; None where nothing whole is."""
        try:
            return Journal.of_text(self.path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    def write(self, journal: Journal) -> None:
        """Write it, down to the disk, under the lock."""
        text = journal.to_text().encode()
        os.ftruncate(self._fd, 0)
        if os.pwrite(self._fd, text, 0) != len(text):
            raise OSError(errno.ENOSPC, "the journal cannot be written", str(self.path))
        os.fsync(self._fd)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self, remove: bool) -> None:
        """Give the lock back; ``remove``: and the file away. Harmless when repeated."""
        if self._fd >= 0:
            if remove:
                self.path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1


def entries(folder: Path) -> Iterator[Entry]:
    """Every file of an interface in the folder."""
    for path in sorted(folder.glob("*-*.json")):
        yield Entry(path)


def restore(former: Former) -> list[str]:
    """Put an interface back as it was; harmless when repeated, and where it is gone.

    Returns:
        What could not be put back, one line each.
    """
    link = next((link for link in links() if link.index == former.ifindex), None)
    if link is None or link.mac != former.mac:
        return []
    name, problems = link.name, []
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("qdiscs", lambda: _restore_qdiscs(former)),
        ("membership of a bridge", lambda: _restore_master(former, link)),
        ("offloads", lambda: _restore_features(former, name)),
        ("flags", lambda: _restore_flags(former, name)),
        ("IPv6", lambda: _restore_ipv6(former, name)),
    )
    for what, step in steps:
        try:
            step()
        except OSError as error:
            if error.errno != errno.ENODEV:
                problems.append(f"{name}: {what}: {error.strerror or error}")
    return problems


def _restore_qdiscs(former: Former) -> None:
    for qdisc in qdiscs(former.ifindex):
        added = (qdisc.root and qdisc.handle) or qdisc.ingress
        if added and qdisc not in former.qdiscs:
            try:
                delete_qdisc(former.ifindex, qdisc)
            except OSError as error:
                # A driver of the emulator that still lived has just done the same.
                if error.errno not in (errno.ENOENT, errno.EINVAL):
                    raise


def _restore_master(former: Former, link: Link) -> None:
    if link.master not in (None, former.master):
        leave_master(link.index)
    for other in links():
        if other.name == f"{_BRIDGE}{former.ifindex}" and other.kind == "bridge":
            delete_link(other.index)


def _restore_features(former: Former, name: str) -> None:
    now = settings.features(name)
    settings.set_features(
        name, {key: on for key, on in former.features.items() if now.get(key, on) != on}
    )


def _restore_flags(former: Former, name: str) -> None:
    on = (settings.UP if former.up else 0) | (0 if former.arp else settings.NO_ARP)
    off = (settings.UP | settings.NO_ARP) & ~on
    now = settings.flags(name)
    if now & on != on or now & off:
        settings.set_flags(name, on, off)


def _restore_ipv6(former: Former, name: str) -> None:
    if former.ipv6 is not None and settings.ipv6_disabled(name) != former.ipv6:
        settings.set_ipv6_disabled(name, former.ipv6)


def recover(folder: Path, owner: Owner | None = None, within_s: float = 0.0) -> list[str]:
    """Restore what killed runs left in this network namespace.

    Args:
        folder: the state folder.
        owner: only what this process left; None: what anybody did.
        within_s: how long to wait for a file that somebody else has locked.

    Returns:
        One line for each interface that was looked after, and for each problem. What could not be
        put back keeps its journal.
    """
    said = []
    for entry in entries(folder):
        journal = entry.read()
        if journal is not None and not _concerns(journal, owner):
            continue
        if not entry.lock(within_s if journal else 0.0, make=False):
            continue  # in use
        done = False
        try:
            journal = entry.read()  # somebody may have been faster
            if journal is None or _concerns(journal, owner):
                said += _settle(journal)
                done = True
        except _NotRestored as error:
            said += error.args[0]
        finally:
            entry.close(remove=done)
    return said


def _concerns(journal: Journal, owner: Owner | None) -> bool:
    if owner is not None and journal.owner != owner:
        return False
    return journal.here or journal.boot != boot_id()


class _NotRestored(Exception):
    pass


def _settle(journal: Journal | None) -> list[str]:
    if journal is None or not journal.here:
        return []  # nothing was changed, or the host has been started anew since
    if journal.socket is not None:
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.lstat(journal.socket).st_mode):
                os.unlink(journal.socket)
    problems = restore(journal.former)
    if problems:
        raise _NotRestored(problems)
    return [f"{journal.former.ifname}: as process {journal.owner.pid} had found it"]


def adopt(former: Former, other: Journal | None) -> Former:
    """``former`` as another run, which still uses the interface, had found it."""
    return former if other is None else replace(other.former, ifname=former.ifname)
