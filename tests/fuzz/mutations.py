"""Damaged bytes: what a parser is usually given, with a few bytes cut, flipped, doubled or replaced by telling ones.

Bytes drawn at random end at the first check of a parser; a small change of a good message comes further.
"""

import hypothesis.strategies as st

# Numbers at the edges of their types, and what JSON knows that its readers may not expect.
TELLING = [
    b"\x00" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x00\x00\x00\x80", b"-1", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}",
    b'""', b"-Infinity", b"9" * 30, b"0.5", b"\xed\xa0\x80", b'"..\\/"', b"[" * 3000, b'{"a":' * 3000, b"1" * 5000,
]  # fmt: skip


@st.composite
def damaged(draw, seeds: list[bytes]) -> bytes:
    """A seed with one to four changes."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        deed = draw(st.sampled_from(["cut", "flip", "double", "noise", "tell", "end"]))
        if deed == "cut":
            data = data[:start] + data[end:]
        elif deed == "flip" and end > start:
            data = data[:start] + bytes([data[start] ^ (1 << draw(st.integers(0, 7)))]) + data[start + 1 :]
        elif deed == "double":
            data = data[:end] + data[start:]
        elif deed == "noise":
            data = data[:start] + draw(st.binary(max_size=12)) + data[end:]
        elif deed == "tell":
            data = data[:start] + draw(st.sampled_from(TELLING)) + data[end:]
        else:
            data = data[:start]
    return data


@st.composite
def reworded(draw, seeds: list[bytes]) -> bytes:
    """A seed in which a word between two signs of JSON is replaced, so that it is still JSON mostly."""
    data = draw(st.sampled_from(seeds))
    words = [place for place in range(1, len(data)) if data[place - 1 : place] in (b":", b"[", b",", b" ")]
    for _ in range(draw(st.integers(1, 2))):
        if not words:
            return data
        start = draw(st.sampled_from(words))
        end = start
        while end < len(data) and data[end : end + 1] not in (b",", b"}", b"]"):
            end += 1
        data = data[:start] + draw(st.sampled_from(TELLING)) + data[end:]
        words = [place for place in words if place < start]
    return data
