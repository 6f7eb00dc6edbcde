"""The packets of a STAMP session as Parquet, one row each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import InputError
from bench.runs.files import replacing
from instruments.probes.probing import NOT_SENT, Samples

_TIMES = ("due_ns", "late_ns", "t1_ns", "t2_ns", "t3_ns", "t4_ns")
_LEVEL = 3

SCHEMA = pa.schema(
    [
        ("sequence", pa.int64()),
        ("due_ns", pa.int64()),
        ("late_ns", pa.int64()),
        ("t1_ns", pa.int64()),
        ("t2_ns", pa.int64()),
        ("t3_ns", pa.int64()),
        ("t4_ns", pa.int64()),
        ("t1_kernel", pa.bool_()),
        ("t4_kernel", pa.bool_()),
        ("number", pa.int64()),
        ("ttl", pa.uint8()),
        ("reply_ttl", pa.uint8()),
        ("answers", pa.int64()),
    ]
)
"""One row per packet, in order of sending; T2 and what follows are of its first answer.

``due_ns`` counts from the start of the schedule, ``late_ns`` is how much later the sending began,
T1 to T4 are ns since 1970. Null is what is not there: T1 where the kernel refused the packet, the
rest where nothing came back.
"""


def packets_of(samples: Samples) -> Any:
    """The table of a session."""
    n = len(samples.t1_ns)
    sequences, first, answers = np.unique(samples.sequence, return_index=True, return_counts=True)
    counted = np.zeros(n, dtype=np.int64)
    counted[sequences] = answers
    sent = samples.t1_ns != NOT_SENT

    def of_answers(values: Any) -> Any:
        column = np.zeros(n, dtype=values.dtype)
        column[sequences] = values[first]
        return pa.array(column, mask=counted == 0)

    columns = {
        "sequence": pa.array(np.arange(n, dtype=np.int64)),
        "due_ns": pa.array(samples.due_ns),
        "late_ns": pa.array(samples.late_ns),
        "t1_ns": pa.array(samples.t1_ns, mask=~sent),
        "t2_ns": of_answers(samples.t2_ns),
        "t3_ns": of_answers(samples.t3_ns),
        "t4_ns": of_answers(samples.t4_ns),
        "t1_kernel": pa.array(samples.t1_kernel, mask=~sent),
        "t4_kernel": of_answers(samples.t4_kernel),
        "number": of_answers(samples.number),
        "ttl": of_answers(samples.ttl.astype(np.uint8)),
        "reply_ttl": of_answers(samples.reply_ttl.astype(np.uint8)),
        "answers": pa.array(counted),
    }
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def check_place(path: Path) -> None:
    """Look whether a file can be made there, before anything is measured for it.

    Raises:
        InputError: no.
    """
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(
            "cannot be written", remedy="give a path that you may write", file=path,
            field="--parquet",
        )  # fmt: skip


def write_packets(path: Path, samples: Samples) -> None:
    """The table as a file that is there whole, or not at all.

    Raises:
        InputError: the file cannot be written; what was there before stays.
    """
    with replacing(path) as file:
        pq.write_table(
            packets_of(samples),
            file,
            compression="zstd",
            compression_level=_LEVEL,
            use_dictionary=False,
            column_encoding=dict.fromkeys(_TIMES, "DELTA_BINARY_PACKED"),
        )
