"""The suite that every collective passes: one to five ranks as threads, three as processes.

Sizes are those that a topology goes other ways for. Encryption is of the links, which know no sizes.
"""

import numpy as np
import pytest

from dsgd.collectives import SingleProcess
from dsgd.errors import ConfigError, WorkerLost

from ..collectives import checks
from ..collectives.gangs import Setting, start

SETTINGS = {
    "shared memory, threads": Setting(),
    "shared memory, processes": Setting(processes=True),
    "ring, encrypted": Setting("ring", machines=0),
    "ring, plain": Setting("ring", encrypt=False, machines=0),
    "ring, processes": Setting("ring", encrypt=False, machines=0, processes=True),
    "tree, encrypted": Setting("tree", machines=0),
    "tree, plain": Setting("tree", encrypt=False, machines=0),
    "two levels, ring": Setting("ring", machines=2),
    "two levels, tree": Setting("tree", encrypt=False, machines=2),
    "two levels, processes": Setting("tree", machines=2, processes=True),
}
SIZES = {
    "shared memory, threads": (2, 5),
    "ring, plain": (2, 3, 5),
    "tree, plain": (2, 3, 4, 5),
    "two levels, ring": (3, 4),
    "two levels, tree": (2, 5),
}
GANGS = [("alone", 1)] + [(name, size) for name in SETTINGS for size in SIZES.get(name, (3,))]


@pytest.fixture(scope="module", params=GANGS, ids=lambda gang: f"{gang[0]}, {gang[1]}")
def gang(request):
    name, size = request.param
    gang = start(SETTINGS.get(name, Setting()), size)
    gang.name = name
    yield gang
    gang.close()


def same_on_all_ranks(results: list):
    """The common result; fails when a rank has other bits."""
    for rank, result in enumerate(results):
        assert result == results[0], f"rank {rank} has another result than rank 0"
    return results[0]


@pytest.mark.parametrize("dtype", checks.DTYPES)
def test_allreduce_sums_with_the_same_bits_everywhere_every_time(gang, dtype):
    first = same_on_all_ranks(gang.run(checks.sums, dtype))
    again = same_on_all_ranks(gang.run(checks.sums, dtype))
    assert first == again
    for length, result in zip(checks.LENGTHS, first, strict=True):
        parts = [checks.addend(rank, length, dtype) for rank in range(gang.size)]
        found = np.frombuffer(result, dtype)
        if dtype == "int64" or gang.name.startswith("shared"):
            in_rank_order = parts[0].copy()
            for part in parts[1:]:
                in_rank_order += part
            np.testing.assert_array_equal(found, in_rank_order)
        else:
            exact = np.sum(np.array(parts, np.longdouble), axis=0)
            bound = np.finfo(dtype).eps * gang.size * np.sum(np.abs(parts), axis=0, dtype=np.float64)
            assert np.all(np.abs(found - exact) <= bound)


@pytest.mark.parametrize(
    ("dtype", "width", "dense_from"),
    [("float32", 0, 99), ("int64", 3, 99), ("float64", 2, 1), ("float32", 0, 0)],
    ids=["sparse", "sparse rows", "one sparse", "all dense"],
)
def test_sparse_sums(gang, dtype, width, dense_from):
    length = 5000
    found = same_on_all_ranks(gang.run(checks.sparse, length, width, dtype, dense_from))
    total = np.zeros((length, width) if width else length, dtype)
    touched = np.zeros(length, bool)
    for rank in range(gang.size):
        indices, values = checks.sparse_addend(rank, length, 0, width, dtype)
        if rank >= dense_from:
            indices, values = np.arange(length), np.ones_like(total)
        total[indices] += values
        touched[indices] = True
    union = np.flatnonzero(touched)
    assert found[:3] == ["int32", dtype, list(total[union].shape)]
    np.testing.assert_array_equal(np.frombuffer(found[3], np.int32), union)
    np.testing.assert_allclose(
        np.frombuffer(found[4], dtype).reshape(total[union].shape), total[union], rtol=1e-4, atol=1e-3
    )


def test_sparse_sum_of_nothing(gang):
    assert same_on_all_ranks(gang.run(checks.sparse, 0, 0, "float32", 99))[3:] == [b"", b""]


def test_broadcast_from_every_root(gang):
    for length in (0, 1, 5000, 400_000):
        found = same_on_all_ranks(gang.run(checks.broadcasts, length))
        assert found == [checks.addend(root, length, "float32").tobytes() for root in range(gang.size)]


def test_allgather_of_unequal_payloads(gang):
    for unit in (0, 1, 5000, 400_000):
        found = same_on_all_ranks(gang.run(checks.gathers, unit))
        assert found == [checks.payload(rank, unit) for rank in range(gang.size)]


def test_nobody_leaves_a_barrier_before_the_last_has_come(gang):
    times = gang.run(checks.barriers, gang.size - 1)
    assert max(entered for entered, _ in times) <= min(left for _, left in times)


def test_operations_in_any_sequence(gang):
    assert same_on_all_ranks(gang.run(checks.mixture, 1)) == same_on_all_ranks(gang.run(checks.mixture, 1))


def test_unusable_arguments_are_refused_and_do_no_harm(gang):
    assert gang.run(checks.refusals) == [6] * gang.size
    same_on_all_ranks(gang.run(checks.gathers, 1))


@pytest.mark.parametrize(
    ("indices", "values"),
    [
        (np.array([1, 0], np.int32), np.zeros(2)),
        (np.array([1, 1], np.int32), np.zeros(2)),
        (np.array([-1, 1], np.int32), np.zeros(2)),
        (np.array([1, 2], np.int64), np.zeros(2)),
        (np.array([1, 2], np.int32), np.zeros(3)),
        (np.array([1, 2], np.int32), np.zeros(2, np.int32)),
    ],
    ids=["descending", "duplicate", "negative", "int64", "shape", "dtype"],
)
def test_what_is_not_a_sparse_vector_is_refused(indices, values):
    with pytest.raises(ConfigError, match="sparse"):
        SingleProcess().allreduce_sparse(indices, values)


@pytest.mark.parametrize("name", [name for name in SETTINGS if "processes" not in name])
@pytest.mark.parametrize("check", [checks.lengths_differ, checks.operations_differ])
def test_ranks_out_of_step_are_told_so(name, check):
    gang = start(SETTINGS[name], 3)
    try:
        results = gang.run(check)
        assert all(isinstance(result, WorkerLost) for result in results)
        assert any("out of step" in str(result) for result in results)
    finally:
        gang.close()


@pytest.mark.parametrize("name", [name for name in SETTINGS if "processes" not in name])
def test_a_rank_that_leaves_is_noticed_and_closing_twice_is_harmless(name):
    gang = start(SETTINGS[name], 3)
    try:
        results = gang.run(checks.leave, 1)
        assert isinstance(results[0], WorkerLost)
        assert isinstance(results[2], WorkerLost)
        for collective in gang.collectives:
            collective.close()
            collective.close()
            with pytest.raises(WorkerLost):
                collective.barrier()
    finally:
        gang.close()
