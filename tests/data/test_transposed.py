"""Batches divided by blocks of columns, and pieces of rows on their way: nothing is lost, and rows keep their names."""

import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsgd.data.column_blocks import column_blocks
from dsgd.data.divide import Divider, undivided
from dsgd.data.encode import Encoder
from dsgd.data.resolve import Roles
from dsgd.data.spec import Categorical, FeatureSpec, Vector
from dsgd.data.transposed import Identity, Spool, join_pieces, pack_piece, split_pieces
from dsgd.data.where import Where
from dsgd.errors import DataError, WorkerLost

ROLES = Roles("y", "weight", "offset")
SPEC = FeatureSpec(
    ("a", "b"),
    (Categorical("c", bits=6), Categorical("d", values=("x", "y")), Categorical("e", bits=4)),
    (Vector("list", 4), Vector("struct", 5), Vector("sparse", 30, sparse=True), Vector("other", 7, sparse=True)),
)


def structs(rng, rows: int, width: int, part: float, dense: float) -> pa.Array:
    """Spark's vectors, some sparse, with indices in any order, and some dense."""
    found = []
    for _ in range(rows):
        values = np.round(rng.normal(size=width), 3)
        indices = rng.permutation(width)[: rng.binomial(width, part)]
        found.append(
            {"type": 1, "size": None, "indices": None, "values": values}
            if rng.random() < dense
            else {"type": 0, "size": width, "indices": indices, "values": values[: len(indices)]}
        )
    kinds = {"type": pa.int8(), "size": pa.int32(), "indices": pa.list_(pa.int32()), "values": pa.list_(pa.float64())}
    return pa.array(found, pa.struct(kinds))


def batch_of(rng, rows: int) -> pa.RecordBatch:
    text = rng.choice(["x", "y", "zz"], rows)
    return pa.record_batch(
        {
            "y": pa.array(rng.choice(["yes", "no"], rows)),
            "a": rng.normal(size=rows),
            "b": rng.integers(0, 9, rows),
            "c": pa.array(text, pa.large_string()),
            "d": pa.DictionaryArray.from_arrays(rng.integers(0, 50, rows), [f"value {i}" for i in range(49)] + ["x"]),
            "e": rng.integers(0, 99, rows),
            "list": pa.array(list(rng.normal(size=(rows, 4))), pa.list_(pa.float32())),
            "struct": structs(rng, rows, 5, 0.5, 0.5),
            "sparse": structs(rng, rows, 30, 0.1, 0.1),
            "other": structs(rng, rows, 7, 0.0, 0.0),
            "weight": rng.random(rows),
            "offset": rng.normal(size=rows).astype(np.float32),
        }
    )


def dense_of(block, sparse_start: int, size: int) -> np.ndarray:
    """A block's features but for the codes, written out."""
    out = np.zeros((block.rows, size))
    out[:, : block.dense.shape[1]] = block.dense
    if block.indptr.size > 1:
        rows = np.repeat(np.arange(block.rows), np.diff(block.indptr))
        np.add.at(out, (rows, block.indices), block.values)
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 25), st.integers(1, 9), st.integers(0, 3))
def test_the_blocks_of_a_batch_are_the_columns_of_the_whole(seed, rows, count, skipped):
    batch = batch_of(np.random.default_rng(seed), rows + skipped).slice(skipped)
    blocks = column_blocks(SPEC, count, {"sparse": 3.0})
    whole = Encoder(SPEC, ROLES, np.float64)(batch)
    wanted = dense_of(whole, SPEC.sparse_start, SPEC.layout.size)
    codes = {column.name: whole.codes[:, i] for i, column in enumerate(SPEC.categorical)}
    starts = {column.name: column.start for column in SPEC.layout.columns}
    for block, part in zip(blocks, Divider([b.spec for b in blocks], ROLES)(batch, Where()), strict=True):
        spec = undivided(block.spec)
        (_, packed), *_ = split_pieces(join_pieces([pack_piece(Identity(0, 0, rows), part, Where())]))
        arrived = pa.ipc.open_stream(packed.tobytes()).read_next_batch()
        found = Encoder(spec, ROLES, np.float64)(arrived)
        np.testing.assert_array_equal(
            dense_of(found, spec.sparse_start, spec.layout.size), wanted[:, block.positions()]
        )
        own = {column.name: column.start for column in spec.layout.columns}
        for i, column in enumerate(spec.categorical):
            name = column.name
            np.testing.assert_array_equal(found.codes[:, i] - own[name], codes[name] - starts[name])
        for role in ("label", "weight", "offset"):
            np.testing.assert_array_equal(getattr(found, role), getattr(whole, role))


def test_only_the_text_that_occurs_is_sent():
    batch = batch_of(np.random.default_rng(0), 5)
    (part,) = Divider([SPEC], ROLES)(batch, Where())
    assert len(batch.column("d").dictionary) == 50
    assert len(part.column("d").dictionary) <= 5
    assert part.column("d").dictionary_decode().equals(batch.column("d").dictionary_decode())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda b: b.drop_columns(["sparse"]), "part 3 has no column 'sparse'"),
        (
            lambda b: b.set_column(8, "sparse", structs(np.random.default_rng(0), 9, 31, 0.1, 0)),
            "length 31 in row 100 of part 3",
        ),
        (
            lambda b: b.set_column(
                8, "sparse", pa.concat_arrays([b.column("sparse")[:8], pa.nulls(1, b.column("sparse").type)])
            ),
            "'sparse' is null in row 108 of part 3",
        ),
        (lambda b: b.set_column(8, "sparse", b.column("a")), "'sparse' of part 3 is of type double"),
    ],
    ids=["missing", "longer", "null", "number"],
)
def test_vectors_that_cannot_be_divided_are_named(change, told):
    blocks = column_blocks(SPEC, 6, {"sparse": 30.0})
    with pytest.raises(DataError, match=told):
        Divider([b.spec for b in blocks], ROLES)(change(batch_of(np.random.default_rng(0), 9)), Where("part 3", 100))


def test_rows_keep_their_names_and_their_order(tmp_path):
    """Those of batches that were filtered, too."""
    spec, roles = FeatureSpec(("a",)), Roles("y")
    spool = Spool(str(tmp_path))
    wheres = [Where("p", 10), Where("q", 0, np.array([3, 5, 8])), Where("p", 14)]
    for number, where in enumerate(wheres):
        batch = pa.record_batch({"a": np.arange(3.0) + 10 * number, "y": [0, 1, 0]})
        identity = Identity(number % 2, number // 2, 3)
        ((found, packed),) = split_pieces(join_pieces([pack_piece(identity, batch, where)]))
        assert found == identity
        spool.add(found, packed)
    dataset = spool.dataset(spec, roles, 2, spec.layout)
    assert [split.index for split in dataset.splits()] == [0, 1, 2]
    found = [
        (batch.column("a")[i].as_py(), where.row(i))
        for split in dataset.splits()
        for batch, where in dataset.read_located(split, 2)
        for i in range(batch.num_rows)
    ]
    assert found == [
        *((0.0, "row 10 of p"), (1.0, "row 11 of p"), (2.0, "row 12 of p")),
        *((10.0, "row 3 of q"), (11.0, "row 5 of q"), (12.0, "row 8 of q")),
        *((20.0, "row 14 of p"), (21.0, "row 15 of p"), (22.0, "row 16 of p")),
    ]
    spool.close()
    spool.close()
    assert os.listdir(tmp_path) == []
    with pytest.raises(WorkerLost, match="are gone from"):
        list(dataset.read_located(dataset.splits()[0], 2))
