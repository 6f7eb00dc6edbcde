"""A counter in the picture that a program reads: evidence that the picture before it is new.

A strip of square cells in the upper left corner, black or white: two guards, 24 bits of the
number, 16 bits of its CRC (ITU-T V.41 polynomial, start value 0xFFFF), two guards. Only the
middle of a cell is read, against the mean of the guards, so the strip stands video compression,
noise, and changes of brightness and contrast.
"""

from __future__ import annotations

import binascii

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]

BITS = 24
_CHECK_BITS = 16
_BEGIN, _END = (1, 0), (0, 1)
CELLS = len(_BEGIN) + BITS + _CHECK_BITS + len(_END)

BLACK, WHITE = 16, 235
"""Luma of the cells: black and white of studio video (ITU-R BT.709)."""

LEAST_CONTRAST = 48
"""By which the white guards must be lighter than the black ones."""

LEAST_CELL = 4
"""Pixels: smaller cells have no middle that compression leaves alone."""

MOST_CELL = 32


def cell_size(width: int) -> int:
    """Side of a cell in a picture so many pixels wide; the same for generator and reader.

    Raises:
        ValueError: too narrow for the strip.
    """
    size = min(MOST_CELL, width // CELLS)
    if size < LEAST_CELL:
        raise ValueError(f"{width} pixels are too narrow: the strip needs {LEAST_CELL * CELLS}")
    return size


def draw_counter(luma: Luma, number: int) -> None:
    """Draw a counter into a picture of shape ``(height, width)``; it is kept modulo 2**24.

    Raises:
        ValueError: the picture is too small for the strip.
    """
    size = cell_size(luma.shape[1])
    if luma.shape[0] < size:
        raise ValueError(f"{luma.shape[0]} pixels are too low: the strip needs {size}")
    cells = np.where(np.array(_cells(number % (1 << BITS))), WHITE, BLACK).astype(np.uint8)
    luma[:size, : size * CELLS] = np.repeat(cells, size)


def read_counter(luma: Luma) -> int | None:
    """The counter in a picture of shape ``(height, width)``; ``None`` where there is none.

    By chance a picture without a strip shows one in fewer than one of 2**16 cases.
    """
    if luma.shape[1] < LEAST_CELL * CELLS:
        return None
    size = cell_size(luma.shape[1])
    if luma.shape[0] < size:
        return None
    edge = size // 4
    strip = luma[edge : size - edge, : size * CELLS].astype(np.float64).mean(axis=0)
    levels = strip.reshape(CELLS, size)[:, edge : size - edge].mean(axis=1)
    guards = np.array(_BEGIN + _END, dtype=np.bool_)
    shown = np.concatenate((levels[: len(_BEGIN)], levels[-len(_END) :]))
    white, black = shown[guards], shown[~guards]
    if white.min() - black.max() < LEAST_CONTRAST:
        return None
    bits = levels > (white.mean() + black.mean()) / 2
    value = int("".join("01"[bit] for bit in bits[len(_BEGIN) : -len(_END)].tolist()), 2)
    number, check = value >> _CHECK_BITS, value & ((1 << _CHECK_BITS) - 1)
    return number if _check(number) == check else None


def _cells(number: int) -> tuple[int, ...]:
    text = f"{number:0{BITS}b}{_check(number):0{_CHECK_BITS}b}"
    return (*_BEGIN, *(int(bit) for bit in text), *_END)


def _check(number: int) -> int:
    return binascii.crc_hqx(number.to_bytes(BITS // 8), 0xFFFF)
