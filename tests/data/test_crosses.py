"""Interactions that are hashed once, as columns of some block, are those that are hashed mini-batch by mini-batch."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsgd.data import Numbering
from dsgd.data.column_blocks import column_blocks
from dsgd.data.crosses import cross_columns
from dsgd.data.encode import Encoder, encode_batch
from dsgd.data.resolve import Roles
from dsgd.data.spec import Categorical, FeatureSpec, Interaction
from dsgd.data.where import Where
from dsgd.errors import ConfigError, DataError
from dsgd.kernels.expand import expand_codes

NAMES = ("c", "d", "e")
VALUES = st.sampled_from(["u", "v", "w", None])
KINDS = st.one_of(
    st.integers(1, 12).map(lambda bits: (bits, None)), st.just((18, ("u", "v"))), st.just((18, (None, "w")))
)
MEMBERS = st.lists(st.sampled_from(NAMES), min_size=2, max_size=4).map(tuple)


def batch_of(rows) -> pa.RecordBatch:
    columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(len(NAMES))]
    return pa.record_batch(columns, names=NAMES)


def on_the_fly(spec: FeatureSpec, batch: pa.RecordBatch) -> np.ndarray:
    """Positions of a batch's codes and crosses, as training on all columns makes them."""
    codes, crosses = encode_batch(spec, batch).codes, spec.layout.crosses
    out = np.empty((len(codes), codes.shape[1] + crosses.count), np.int32)
    expand_codes(codes, 0, len(codes), crosses.columns, crosses.start, crosses.mask, out)
    return out


def in_blocks(spec: FeatureSpec, batch: pa.RecordBatch, count: int, numbered: bool, order=None) -> np.ndarray:
    """The same from blocks of the columns."""
    parts = []
    for block in column_blocks(spec, count):
        numbering = Numbering(block.spec.layout) if numbered else None
        shuffle = None if order is None else np.random.default_rng(order)
        codes = Encoder(block.spec, Roles(), np.float32, numbering)(batch, shuffle=shuffle).codes
        parts.append(block.positions()[codes if numbering is None else numbering.positions[codes]])
    return np.concatenate(parts, axis=1)


@settings(deadline=None)  # the first call compiles
@given(
    kinds=st.tuples(KINDS, KINDS, KINDS),
    crosses=st.lists(st.tuples(MEMBERS, st.integers(1, 10)), min_size=1, max_size=4),
    rows=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=20),
    count=st.integers(1, 4),
    numbered=st.booleans(),
)
def test_as_on_the_fly(kinds, crosses, rows, count, numbered):
    categorical = tuple(Categorical(name, bits, values) for name, (bits, values) in zip(NAMES, kinds, strict=True))
    spec = FeatureSpec((), categorical, (), tuple(Interaction(members, bits) for members, bits in crosses))
    np.testing.assert_array_equal(in_blocks(spec, batch_of(rows), count, numbered), on_the_fly(spec, batch_of(rows)))


@pytest.mark.parametrize("numbered", [True, False])
def test_more_rows_than_are_crossed_at_a_time(numbered):
    rng = np.random.default_rng(0)
    rows = rng.choice(["u", "v", "w", "x", None], (10_001, 3)).tolist()
    spec = FeatureSpec((), tuple(map(Categorical, NAMES)), (), (Interaction(("c", "e")), Interaction(NAMES, 6)))
    order = np.random.default_rng(5).permutation(len(rows))
    wanted = np.empty((len(rows), 5), np.int32)
    wanted[order] = on_the_fly(spec, batch_of(rows))
    np.testing.assert_array_equal(in_blocks(spec, batch_of(rows), 2, numbered, order=5), wanted)


def test_a_batch_without_rows():
    spec = FeatureSpec((), tuple(map(Categorical, NAMES)), (), (Interaction(("c", "e")),))
    assert [len(in_blocks(spec, batch_of([]), n, numbered=True)) for n in (1, 4)] == [0, 0]


def test_a_cross_may_be_called_as_a_column_is():
    """Also two crosses may: their names are for people."""
    rng = np.random.default_rng(1)
    columns = {name: rng.choice(["u", "v", "w"], 50) for name in ("c", "d", "e", "c x d", "d x e")}
    crosses = (Interaction(("c", "d"), 4), Interaction(("c x d", "e"), 4), Interaction(("c", "d x e"), 4))
    spec = FeatureSpec((), tuple(Categorical(name, 3) for name in columns), (), crosses)
    batch = pa.record_batch(columns)
    for count in (1, 3, 8):
        np.testing.assert_array_equal(in_blocks(spec, batch, count, numbered=False), on_the_fly(spec, batch))


def test_a_block_reads_the_members_of_its_crosses():
    crosses = (Interaction(("d", "c"), 4), Interaction(("c", "e"), 5))
    spec = FeatureSpec(("x",), tuple(map(Categorical, NAMES)), (), crosses)
    blocks = column_blocks(spec, 6)
    assert [block.spec.columns for block in blocks] == [("x",), ("c",), ("d",), ("e",), ("d", "c"), ("c", "e")]
    assert [block.size for block in blocks] == [1, 1 << 18, 1 << 18, 1 << 18, 16, 32]
    assert [block.load for block in blocks] == [0.25, 1, 1, 1, 1, 1]
    (both,) = column_blocks(spec, 1)
    assert both.spec.columns == spec.columns
    assert both.ranges[-1][1] == spec.layout.size
    assert [cross.name for cross in cross_columns(spec)] == ["d x c", "c x e"]


def test_a_member_that_cannot_be_read_is_told():
    spec = FeatureSpec((), tuple(map(Categorical, NAMES)), (), (Interaction(("c", "e"), 4),))
    block = column_blocks(spec, 4)[-1]
    encoder = Encoder(block.spec, Roles())
    with pytest.raises(DataError, match=r"part\.parquet has no column 'e'"):
        encoder(batch_of([("u", "v", "w")]).drop_columns(["e"]), Where("part.parquet", 0))
    with pytest.raises(DataError, match=r"column 'e' is categorical and has the value 0\.5"):
        encoder(pa.record_batch({"c": ["u", "v"], "e": [1.0, 0.5]}), Where("part.parquet", 0))


def test_columns_are_still_named_once():
    with pytest.raises(ConfigError, match="column 'c' is named as a feature more than once"):
        FeatureSpec((), (Categorical("c"), Categorical("c")))
