"""The words of ``bench probe``, read before a socket is opened."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, get_args

import numpy as np

from bench.errors import InputError
from bench.studies.probe_figures import Numbering
from bench.units import NS_PER_S, QUANTITIES, duration_s, ns
from instruments.probes.probing import Ints
from instruments.probes.stamp_packets import base_bytes
from instruments.probes.stamp_tlvs import HEADER_BYTES

MOST_PACKETS = 500_000
"""Their figures are ready well within the 2 s that an interrupt leaves."""

MOST_RATE_HZ = 10_000.0
LONGEST_S = 7 * 86_400.0
LARGEST_BYTES = 65_507
_USUAL_INTERVAL_S, _USUAL_COUNT = 0.1, 100
_LEAST_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class SendWords:
    """What the user wrote; None where nothing."""

    host: str
    port: int
    count: int | None = None
    duration: str | None = None
    rate: str | None = None
    interval: str | None = None
    poisson: bool = False
    size: int | None = None
    wait: str = "2s"
    seed: int = 7
    reflector: str = "auto"
    timestamps: str = "ntp"
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """What is to be sent.

    Attributes:
        host, port: of the reflector.
        due_ns: shape (n,): when each packet is due, from the start.
        interval_s: between two packets; the mean of it where ``poisson``.
        size: octets of UDP payload.
        wait_s: how long an answer may take.
        ssid: the session's identifier, drawn by ``seed``.
        filling: draws what padding holds.
        ptp: timestamps as PTPv2 truncated instead of NTP.
        key: of the authenticated mode.
    """

    host: str
    port: int
    due_ns: Ints
    interval_s: float
    poisson: bool
    size: int
    wait_s: float
    seed: int
    ssid: int
    filling: random.Random
    numbering: Numbering
    ptp: bool
    key: bytes | None


def read_sending(words: SendWords) -> Sending:
    """What the words ask for.

    Raises:
        InputError: a figure that cannot be read or would be out of bounds, or two that exclude
            each other; names the option and the remedy.
    """
    key = read_key(words.key_file)
    interval_s = _interval(words)
    count = _count(words, interval_s)
    numbering = next((each for each in get_args(Numbering) if each == words.reflector), None)
    if numbering is None:
        _fail("--reflector", words.reflector, "is unknown", f"use {', '.join(get_args(Numbering))}")
    wait_s = duration_s(words.wait, field="--wait")
    if not 0.001 <= wait_s <= 60:
        _fail("--wait", words.wait, "is outside 1 ms to 60 s", "give one between, like 2s")
    if words.seed < 0:
        _fail("--seed", words.seed, "is negative", "give a whole number, like 7")
    rng = random.Random(words.seed)
    return Sending(
        host=words.host,
        port=read_port(words.port),
        due_ns=schedule(count, interval_s, rng if words.poisson else None),
        interval_s=interval_s,
        poisson=words.poisson,
        size=_size(words.size, key),
        wait_s=wait_s,
        seed=words.seed,
        ssid=rng.randrange(1, 1 << 16),
        filling=rng,
        numbering=numbering,
        ptp=read_timestamps(words.timestamps),
        key=key,
    )


def schedule(count: int, interval_s: float, rng: random.Random | None) -> Ints:
    """When each packet is due, in ns: evenly, or (``rng``) as a Poisson process (RFC 2330, 11.1.1).

    No two are closer than the highest rate allows.
    """
    if rng is None:
        return np.asarray(np.round(np.arange(count) * (interval_s * NS_PER_S)), dtype=np.int64)
    gaps = [rng.expovariate(1 / interval_s) for _ in range(count)]
    least = NS_PER_S / MOST_RATE_HZ
    apart = np.maximum(np.array(gaps, dtype=np.float64) * NS_PER_S, least)
    return np.asarray(np.round(np.cumsum(apart) - apart[0]), dtype=np.int64)


def read_key(file: Path | None) -> bytes | None:
    """The key of the authenticated mode: hexadecimal digits in a file.

    Raises:
        InputError: no such file, other characters, or a key of fewer than 16 octets.
    """
    if file is None:
        return None
    remedy = "write at least 32 hexadecimal digits into it, like: openssl rand -hex 32"
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", remedy="name a file with the key", file=file,
            field="--key-file",
        ) from error  # fmt: skip
    except ValueError as error:
        raise InputError(
            "holds no hexadecimal key", remedy=remedy, file=file, field="--key-file"
        ) from error
    if len(key) < _LEAST_KEY_BYTES:
        raise InputError("holds too short a key", remedy=remedy, file=file, field="--key-file")
    return key


def read_port(port: int, least: int = 1) -> int:
    """A UDP port.

    Raises:
        InputError: out of range.
    """
    if not least <= port <= 65_535:
        _fail("--port", port, "is no UDP port", f"give {least} to 65535; STAMP's own is 862")
    return port


def read_timestamps(text: str) -> bool:
    """Whether timestamps are PTPv2 truncated.

    Raises:
        InputError: another word than ntp and ptp.
    """
    if text not in ("ntp", "ptp"):
        _fail("--timestamps", text, "is unknown", "use ntp or ptp")
    return text == "ptp"


def _fail(option: str, value: object, problem: str, remedy: str) -> NoReturn:
    raise InputError(problem, remedy=remedy, field=option, value=value)


def _interval(words: SendWords) -> float:
    if words.rate is not None and words.interval is not None:
        _fail("--rate", words.rate, "does not go with --interval", "give one of them")
    if words.rate is not None:
        rate_hz = QUANTITIES["Hz"](words.rate, field="--rate")
        if not 0 < rate_hz <= MOST_RATE_HZ:
            remedy = f"give more than 0 and at most {MOST_RATE_HZ:g}/s"
            _fail("--rate", words.rate, "is out of bounds", remedy)
        return float(1 / rate_hz)
    if words.interval is None:
        return _USUAL_INTERVAL_S
    interval_s = duration_s(words.interval, field="--interval")
    if not 1 / MOST_RATE_HZ <= interval_s <= 3600:
        _fail("--interval", words.interval, "is outside 100 µs to 1 h", "give one between")
    return interval_s


def _count(words: SendWords, interval_s: float) -> int:
    if words.count is not None and words.duration is not None:
        _fail("--count", words.count, "does not go with --duration", "give one of them")
    option, value, count = "--count", str(words.count), words.count or _USUAL_COUNT
    if words.count is not None and words.count < 1:
        _fail("--count", words.count, "is less than one packet", "give 1 or more")
    if words.duration is not None:
        option, value = "--duration", words.duration
        length_s = duration_s(words.duration, field=option)
        if not 0 < length_s <= LONGEST_S:
            _fail(option, value, "is out of bounds", "give more than 0 and at most 7d")
        count = max(1, math.ceil(ns(length_s) / ns(interval_s)))
    if count > MOST_PACKETS or count * interval_s > LONGEST_S:
        remedy = f"give at most {MOST_PACKETS} packets and 7 days, or a lower rate"
        _fail(option, value, f"makes {count} packets in {count * interval_s:.6g} s", remedy)
    return count


def _size(size: int | None, key: bytes | None) -> int:
    base = base_bytes(key)
    if size is None:
        return base
    if size != base and not base + HEADER_BYTES <= size <= LARGEST_BYTES:
        _fail(
            "--size",
            size,
            "is no size of a STAMP packet",
            f"give {base}, or {base + HEADER_BYTES} to {LARGEST_BYTES} bytes of UDP payload",
        )
    return size
