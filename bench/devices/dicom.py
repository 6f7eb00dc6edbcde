"""A chunk of an image set as one DICOM instance, and back. No I/O.

The instance is a Secondary Capture Image (PS3.3, A.8.1) in Implicit VR Little Endian, with a grey
picture of the chunk's declared size. A set is a study, an attempt to send it a series, a chunk an
instance: its SOP Instance UID follows from the three numbers, so that a chunk sent again is the
same instance.

The message itself stands in a private block; the picture repeats the four bytes of its value.
"""

from __future__ import annotations

import io
import json
import math
from functools import cache
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from bench.devices.ports import Message

SOP_CLASS = SecondaryCaptureImageStorage
SYNTAX = ImplicitVRLittleEndian

_GROUP, _CREATOR, _ELEMENT = 0x0099, "TELEMED-BENCH", 0x01
_FIELDS = ("stream", "seq", "sent_ns", "value", "body", "tag")


def instance_of(message: Message, pixel_bytes: int) -> Dataset:
    """A chunk's message as an instance with its file meta information.

    Args:
        message: with the body ``{"set": [set, attempt, chunk, chunks, sha256]}``.
        pixel_bytes: size of its pixel data, even.

    Raises:
        ValueError: the message is no chunk, or the size cannot be a picture.
    """
    number, attempt, chunk, chunks = _chunk(message.body)
    found = Dataset(dict(_constant(pixel_bytes)))
    found.set_original_encoding(True, True, "iso8859")  # what is written already stays as it is
    found.SOPInstanceUID = _uid("instance", number, attempt, chunk)
    found.StudyInstanceUID = _uid("study", number)
    found.SeriesInstanceUID = _uid("series", number, attempt)
    found.StudyID = str(number)
    found.SeriesNumber, found.InstanceNumber = attempt, chunk + 1
    found.ImagesInAcquisition = chunks
    found.PixelData = _pixels(message.value, pixel_bytes)
    found["PixelData"].VR = "OW"
    told = json.dumps([getattr(message, name) for name in _FIELDS], separators=(",", ":"))
    found.private_block(_GROUP, _CREATOR, create=True).add_new(_ELEMENT, "UT", told)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = SYNTAX
    found.file_meta.MediaStorageSOPClassUID = SOP_CLASS
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID
    found.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return found


@cache
def _constant(pixel_bytes: int) -> dict[BaseTag, DataElement | RawDataElement]:
    """What all instances of a size share, as it is written: the library need not write it anew."""
    found = Dataset()
    found.SOPClassUID = SOP_CLASS
    found.StudyDate, found.StudyTime = "19700101", "000000"
    found.AccessionNumber = ""
    found.Modality = "OT"
    found.ConversionType = "SYN"
    found.ReferringPhysicianName = ""
    found.PatientName, found.PatientID = "Simulated^Patient", "SIMULATED"
    found.PatientBirthDate, found.PatientSex = "", ""
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.Rows, found.Columns = _sides(pixel_bytes)
    found.BitsAllocated, found.BitsStored, found.HighBit = 16, 16, 15
    found.PixelRepresentation = 0
    written = DicomBytesIO()
    written.is_implicit_VR, written.is_little_endian = True, True
    write_dataset(written, found)
    again = io.BytesIO(written.getvalue())
    return dict(read_dataset(again, is_implicit_VR=True, is_little_endian=True).items())


def message_of(instance: Dataset) -> Message:
    """The message in an instance of ours.

    Raises:
        ValueError: not such an instance: what it says of itself, or its picture, does not fit it.
    """
    try:
        told = instance.private_block(_GROUP, _CREATOR)[_ELEMENT].value
        fields = json.loads(told)
        if not isinstance(fields, list) or len(fields) != len(_FIELDS):
            raise ValueError(f"DICOM: not the fields of a message: {told[:60]!r}")
        message = Message(*fields)
        number, attempt, chunk, _ = _chunk(message.body)
        named = instance.SOPInstanceUID == _uid("instance", number, attempt, chunk)
        placed = (instance.StudyID, instance.InstanceNumber) == (str(number), chunk + 1)
        pixels = instance.PixelData
        size = instance.Rows * instance.Columns * 2
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"DICOM: an instance that is not of this device: {error}") from None
    if not named or not placed:
        raise ValueError("DICOM: the instance is numbered otherwise than its chunk")
    if pixels != _pixels(message.value, size):
        raise ValueError("DICOM: the picture is not that of the chunk")
    return message


def _chunk(body: dict[str, Any] | None) -> tuple[int, int, int, int]:
    told = (body or {}).get("set")
    if not isinstance(told, list) or len(told) != 5:
        raise ValueError("DICOM: a message without a chunk of an image set")
    number, attempt, chunk, chunks = told[:4]
    if not all(type(each) is int and each >= 0 for each in told[:4]):
        raise ValueError("DICOM: a chunk's numbers are not whole numbers")
    return number, attempt, chunk, chunks


def _uid(*content: object) -> str:
    return generate_uid(entropy_srcs=["telemed-bench", *map(str, content)])


def _sides(pixel_bytes: int) -> tuple[int, int]:
    """Rows and columns of a picture of that size, 16 bits a pixel."""
    if pixel_bytes < 2 or pixel_bytes % 2:
        raise ValueError(f"DICOM: no picture of {pixel_bytes} bytes: an even number is needed")
    pixels = pixel_bytes // 2
    rows = next(n for n in range(math.isqrt(pixels), 0, -1) if pixels % n == 0)
    if pixels // rows > 0xFFFF:
        raise ValueError(f"DICOM: no picture of {pixel_bytes} bytes has sides of 65535 at most")
    return rows, pixels // rows


def _pixels(value: int, size: int) -> bytes:
    return ((value & 0xFFFFFFFF).to_bytes(4, "little") * (size // 4 + 1))[:size]
