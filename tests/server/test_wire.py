"""Messages: what was said is what is heard, and whatever else arrives is refused as no message, never in another way."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dsgd.server import wire
from dsgd.server.wire import BadMessage, Message, decode, encode

FIT = 0x1234_5678_9ABC_DEF0
counts = st.integers(-(2**63), 2**63 - 1)
numbers = st.integers(0, 2**32 - 1)
vectors = arrays(st.sampled_from(wire.DTYPES), st.integers(0, 40))
messages = st.builds(
    Message,
    kind=st.integers(0, len(wire.KINDS) - 1), worker=numbers, attempt=numbers, clock=counts, wanted=counts, version=counts,
    step=counts, rows=counts, flags=st.integers(0, 255), arrays=st.lists(vectors, max_size=wire.MOST_ARRAYS), link=numbers,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _small_frames():
    """Messages of several frames need not be of megabytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "CHUNK", 24)
        patch.setattr(wire, "INLINE", 60)
        yield


def as_sent(message: Message) -> list[bytes]:
    return [bytes(frame) for frame in encode(message, FIT)]


def assert_equal(found: Message, sent: Message):
    assert found._replace(arrays=()) == sent._replace(arrays=())
    assert len(found.arrays) == len(sent.arrays)
    for array, other in zip(found.arrays, sent.arrays, strict=True):
        assert array.dtype == other.dtype
        np.testing.assert_array_equal(array.view(np.uint8), other.view(np.uint8))


@settings(deadline=None)
@given(message=messages, shift=st.integers(0, 7))
def test_what_was_sent_is_what_comes(message, shift):
    """Wherever in memory the frames lie: kernels are compiled for arrays that are aligned, and not to be written to."""
    frames = [memoryview(bytes(shift) + frame)[shift:] for frame in as_sent(message)]
    assert all(len(frame) <= 24 for frame in frames[1:])
    found = decode(frames, FIT)
    assert_equal(found, message)
    assert all(array.flags.aligned and not array.flags.writeable for array in found.arrays)


def test_large_arrays_are_not_copied():
    array = np.arange(9.0)
    frames = encode(Message(wire.STEP, 1, arrays=[array]), FIT)
    assert len(frames) == 4
    assert all(np.shares_memory(frame, array) for frame in frames[1:])
    assert len(encode(Message(wire.STEP, 1, arrays=[array[:7]]), FIT)) == 1


@settings(deadline=None)
@given(frames=st.lists(st.binary(max_size=150), max_size=4))
def test_any_bytes_are_refused(frames):
    with pytest.raises(BadMessage):
        decode(frames, FIT)


@settings(deadline=None, max_examples=200)
@given(message=messages, data=st.data())
def test_damaged_messages_are_refused_or_say_something_else(message, data):
    """Cut, prolonged, reordered and flipped: what the header does not tell of may pass as another message, and nothing else."""
    frames = as_sent(message)
    deed = data.draw(st.sampled_from(["cut", "prolong", "drop", "add", "flip"]))
    place = data.draw(st.integers(0, len(frames) - 1))
    if deed == "cut":
        frames[place] = frames[place][: data.draw(st.integers(0, max(0, len(frames[place]) - 1)))]
    elif deed == "prolong":
        frames[place] += data.draw(st.binary(min_size=1, max_size=30))
    elif deed == "drop":
        del frames[place]
    elif deed == "add":
        frames.insert(place + 1, data.draw(st.binary(max_size=30)))
    elif frames[place]:
        at = data.draw(st.integers(0, len(frames[place]) - 1))
        changed = bytearray(frames[place])
        changed[at] ^= data.draw(st.integers(1, 255))
        frames[place] = bytes(changed)
    if deed == "flip" or as_sent(message) == frames:
        with contextlib.suppress(BadMessage):
            assert isinstance(decode(frames, FIT), Message)
    else:
        with pytest.raises(BadMessage):
            decode(frames, FIT)


def header(**changes) -> bytes:
    """A header as it should be, but for the changes."""
    fields = {
        "magic": wire.MAGIC, "version": wire.VERSION, "kind": wire.STEP, "count": 0, "flags": 0, "worker": 0, "attempt": 0,
        "link": 0, "fit": FIT, "clock": 0, "wanted": 0, "seen": 0, "step": 0, "rows": 0,
    }  # fmt: skip
    return wire._HEADER.pack(*(fields | changes).values())


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([], "0 bytes are too short"),
        ([header()[:-1]], "71 bytes are too short for a header of 72"),
        ([header(magic=b"HTTP")], "found b'HTTP' version 1"),
        ([header(version=2)], "expected b'dSGP' version 1, found b'dSGP' version 2"),
        ([header(kind=len(wire.KINDS))], f"unknown kind {len(wire.KINDS)}"),
        ([header(fit=FIT ^ 1)], "belongs to another fit"),
        ([header(), b""], "1 frames follow the last array"),
        ([header(), b"", b"", b""], "3 frames follow the last array"),
        ([header(count=1)], "a header of 72 bytes for 1 arrays"),
        ([header(count=1), b""], "a header of 72 bytes for 1 arrays"),
        ([header() + b"x", b""], "a header of 73 bytes for 0 arrays"),
        ([header(count=200) + bytes(200 * 16)], "for 200 arrays"),
        ([header(count=1) + wire._ARRAY.pack(0, 1)], "the frame has 88 bytes, its header says 89"),
        ([header(count=1) + wire._ARRAY.pack(0, 0) + b"x"], "the frame has 89 bytes, its header says 88"),
        ([header(count=1) + wire._ARRAY.pack(0, 2**64 - 1)], "its header says 18446744073709551703"),
        ([header(count=2) + 2 * wire._ARRAY.pack(0, 0), b""], "array 1 has 0 bytes, its header says 0 in 1 frames"),
        ([header(count=1) + wire._ARRAY.pack(0, 2**64 - 1), b""], "its header says 18446744073709551615"),
        ([header(count=1) + wire._ARRAY.pack(9, 8), bytes(8)], "dtype code 9"),
        ([header(count=1) + wire._ARRAY.pack(4, 12), bytes(12)], "dtype code 4 and 12 bytes"),
        ([header(count=1) + wire._ARRAY.pack(4, 8), bytes(16)], "has 16 bytes, its header says 8"),
        ([header(count=1) + wire._ARRAY.pack(0, 30), bytes(30)], "its header says 30 in 2 frames"),
    ],
)
def test_what_is_wrong_is_told(frames, why):
    with pytest.raises(BadMessage, match=why):
        decode(frames, FIT)
