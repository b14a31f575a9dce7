"""Weights numbered as they come: every number stands for one weight, wherever blocks are kept and however ranks meet."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsgd.data import BlockStore, Numbering, as_dataset, can_number, open_store, read_parquet
from dsgd.data.numbering import merge_numberings
from dsgd.data.spec import Categorical, FeatureSpec, Interaction, Vector
from dsgd.errors import DataError

LAYOUT = FeatureSpec(("a", "b"), (Categorical("c"), Categorical("d", bits=4))).layout
CODES = hnp.arrays(np.int32, st.integers(0, 30), elements=st.integers(LAYOUT.dense, LAYOUT.size - 1))


@settings(deadline=None)  # the first call compiles
@given(st.lists(CODES, max_size=6))
def test_numbers_have_no_gaps_and_stand_for_one_weight(parts):
    numbering = Numbering(LAYOUT)
    for part in parts:
        numbers = part.copy()
        numbering.apply(numbers)
        np.testing.assert_array_equal(numbering.positions[numbers], part)
    positions = numbering.positions
    assert positions[: LAYOUT.dense].tolist() == [0, 1]
    assert len(np.unique(positions)) == len(positions) == numbering.layout.size
    everything = np.concatenate([*parts, np.zeros(0, np.int32)])
    _, first = np.unique(everything, return_index=True)
    np.testing.assert_array_equal(numbering.codes, everything[np.sort(first)])


@settings(deadline=None)  # the first call compiles
@given(st.lists(CODES, min_size=1, max_size=4))
def test_ranks_agree(parts):
    ranks = [Numbering(LAYOUT) for _ in parts]
    numbers = [part.copy() for part in parts]
    for rank, part in zip(ranks, numbers, strict=True):
        rank.apply(part)
    merged = merge_numberings(LAYOUT, [rank.codes for rank in ranks])
    for rank, own, part in zip(ranks, numbers, parts, strict=True):
        table = rank.numbers_in(merged)
        np.testing.assert_array_equal(merged.positions[own if table is None else table[own]], part)
    assert ranks[0].numbers_in(merged) is None


def test_a_complete_numbering_refuses_what_is_new():
    numbering = Numbering(LAYOUT)
    numbering.apply(np.array([7, 9], np.int32))
    numbering.complete()
    numbering.apply(np.array([9, 7], np.int32))
    with pytest.raises(DataError, match="changed while it was in use"):
        numbering.apply(np.array([8], np.int32))


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (FeatureSpec(("a",), (Categorical("c"),)), True),
        (FeatureSpec((), (Categorical("c", bits=4),)), False),
        (FeatureSpec(("a",)), False),
        (FeatureSpec((), (Categorical("c"), Categorical("d")), (), (Interaction(("c", "d")),)), False),
        (FeatureSpec((), (Categorical("c"),), (Vector("v", 10, sparse=True),)), False),
        (FeatureSpec((), (Categorical("c"),), (Vector("v", 10),)), True),
    ],
)
def test_which_layouts_are_numbered(spec, wanted):
    assert can_number(spec.layout) is wanted


def test_blocks_of_many_weights_are_numbered_as_small_as_they_are():
    many, few = (FeatureSpec((), (Categorical("c", bits), Categorical("d", 4))).layout for bits in (18, 4))
    assert can_number(few, many)
    assert not can_number(few, few)
    assert not can_number(FeatureSpec((), (), (Vector("v", 10, sparse=True),)).layout, many)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    rng = np.random.default_rng(2)
    columns = {name: pa.array([f"{name}{k}" for k in rng.zipf(1.5, 900) % 500]) for name in "cd"}
    columns["e"] = pa.array([None if k % 7 == 0 else int(k) for k in rng.integers(0, 40, 900)])
    folder = tmp_path_factory.mktemp("words")
    pq.write_table(pa.table(columns | {"y": rng.integers(0, 2, 900)}), folder / "words.parquet", row_group_size=200)
    return read_parquet(str(folder), label="y", categorical=["e"])


LEVELS = {
    "memory": {},
    "files": {"memory_bytes": 0},
    "away": {"memory_bytes": 0, "cache_bytes": 0},
    "lost": {"memory_bytes": 0},
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("again", [False, True])
def test_blocks_hold_numbers(words, level, again, tmp_path, monkeypatch):
    """As encoded, and when they were renumbered after ranks met; also when a block is made again."""
    monkeypatch.setattr("dsgd.data.groups.BLOCK_ROWS", 300)
    with BlockStore(words, words.splits(), str(tmp_path / "plain")) as store:
        wanted = [block.codes.copy() for _, block in store.keyed_blocks()]
    numbering = Numbering(words.spec.layout)
    with BlockStore(words, words.splits(), str(tmp_path / level), numbering=numbering, **LEVELS[level]) as store:
        positions = numbering.positions
        if again:
            merged = merge_numberings(words.spec.layout, [np.flip(numbering.codes)])
            table = numbering.numbers_in(merged)
            assert table is not None
            store.renumber(table)
            positions = merged.positions
        if level == "lost":
            files = list((tmp_path / level).rglob("*-*-*"))
            assert files
            for path in files:
                path.unlink()
        store.relabel({0: -1.0, 1: 1.0})
        for _ in range(2):
            found = [positions[block.codes] for _, block in store.keyed_blocks()]
            assert len(found) > 2
            np.testing.assert_array_equal(np.concatenate(found), np.concatenate(wanted))


def test_of_a_long_dictionary_only_what_rows_use_is_numbered(tmp_path):
    words = pa.array([f"w{k}" for k in range(60_000)])
    index = pa.array(np.random.default_rng(0).integers(100, 120, 500), pa.int32())
    table = pa.table({"c": pa.DictionaryArray.from_arrays(index, words), "d": ["u"] * 499 + [None], "y": [0, 1] * 250})
    dataset = as_dataset(table, "y")
    numbering = Numbering(dataset.spec.layout)
    with open_store(dataset, dataset.splits(), str(tmp_path), numbering=numbering) as store:
        codes = np.concatenate([block.codes for _, block in store.keyed_blocks()])
    assert len(numbering.codes) == len(np.unique(codes)) == 22
