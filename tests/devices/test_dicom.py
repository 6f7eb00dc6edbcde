"""A chunk of an image set as a DICOM instance: a stored file is valid, and the chunk comes back."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage

from bench.devices.dicom import instance_of, message_of
from bench.devices.ports import Message
from bench.devices.transfer import ImageSet

WHOLE = st.integers(0, 2**31 - 1)
CHUNKS = st.builds(
    lambda seq, sent_ns, value, numbers, tag: Message(
        3, seq, sent_ns, value, {"set": [*numbers, "ab" * 32]}, tag
    ),
    seq=WHOLE,
    sent_ns=st.integers(0, 2**62),
    value=st.integers(-(2**31), 2**31 - 1),
    numbers=st.lists(WHOLE, min_size=4, max_size=4),
    tag=st.integers(-(2**63), 2**63 - 1),
)


def chunk(index=5, value=None):
    made = ImageSet(2, 40)
    value = made.chunk(index) if value is None else value
    return Message(3, 24 * index, 10**9, value, {"set": [2, 1, index, 40, made.sha256]}, -7)


def stored(message, size=33_600):
    file = io.BytesIO()
    dcmwrite(file, instance_of(message, size), enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


@settings(max_examples=25, deadline=None)
@given(CHUNKS, st.integers(1, 2000))
def test_round_trip_through_a_file(message, pixels):
    again = message_of(stored(message, 2 * pixels))
    assert again == message
    assert repr(again.body) == repr(message.body)


def test_a_stored_instance_is_valid_for_others():
    found = stored(chunk())
    assert found.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert found.SOPClassUID == SecondaryCaptureImageStorage
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    assert (found.StudyID, found.SeriesNumber, found.InstanceNumber) == ("2", 1, 6)
    assert found.ImagesInAcquisition == 40
    assert len(found.PixelData) == 33_600 == found.Rows * found.Columns * 2
    assert found.pixel_array.shape == (found.Rows, found.Columns)
    for uid in (found.SOPInstanceUID, found.StudyInstanceUID, found.SeriesInstanceUID):
        assert uid.is_valid


def test_a_chunk_sent_again_is_the_same_instance_and_no_other_is():
    again = chunk()._replace(seq=999, sent_ns=5, tag=0)
    uid = instance_of(chunk(), 100).SOPInstanceUID
    assert instance_of(again, 100).SOPInstanceUID == uid
    assert instance_of(chunk(6), 100).SOPInstanceUID != uid
    assert instance_of(chunk(6), 100).StudyInstanceUID == instance_of(chunk(), 100).StudyInstanceUID


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: delattr(d, "SOPInstanceUID"), "not of this device"),
        (lambda d: setattr(d, "InstanceNumber", 3), "numbered otherwise"),
        (lambda d: setattr(d, "SOPInstanceUID", "1.2.3"), "numbered otherwise"),
        (lambda d: setattr(d, "PixelData", b"\1" + d.PixelData[1:]), "picture"),
        (lambda d: setattr(d, "Rows", d.Rows * 2), "picture"),
        (lambda d: d.pop(0x00991001), "not of this device"),
        (lambda d: setattr(d[0x00991001], "value", "[]"), "fields"),
        (lambda d: setattr(d[0x00991001], "value", "[1,2,3,4,{},0]"), "without a chunk"),
    ],
)
def test_an_instance_that_contradicts_itself_is_refused(change, message):
    found = instance_of(chunk(), 400)
    change(found)
    with pytest.raises(ValueError, match=message):
        message_of(found)


@pytest.mark.parametrize("body", [None, {}, {"set": 3}, {"set": [1, 2, 3, 4]}, {"set": ["1"] * 5}])
def test_what_is_no_chunk_makes_no_instance(body):
    with pytest.raises(ValueError, match="chunk"):
        instance_of(Message(3, 0, 0, 0, body), 100)


@pytest.mark.parametrize("size", [0, 7, 2 * 70_001])
def test_a_size_that_is_no_picture_is_refused(size):
    with pytest.raises(ValueError, match="no picture"):
        instance_of(chunk(), size)
