"""The parts of lock-free threads: chunks, where weights lie, and how copies merge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsgd.kernels.claims import CLAIMS
from dsgd.kernels.hogwild_merge import Meeting, State, merge
from dsgd.kernels.hogwild_moves import move_codes
from dsgd.kernels.steps import Penalty
from dsgd.optim.rules import AdaGrad
from dsgd.train.hogwild_copies import Copies, stretches
from dsgd.train.hogwild_hot import choose_hot
from dsgd.train.hogwild_thread import divide
from dsgd.train.recipe import in_dtype

from .hogwild_cases import SINGLE, make_case


class Labels:
    """As much of Rows as the division into chunks looks at."""

    def __init__(self, rows: int):
        self.label = np.zeros(rows)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(0, 3000),
    run=st.integers(1, 70),
    batch_runs=st.none() | st.integers(1, 9),
    threads=st.integers(1, 5),
    used=st.integers(0, 10**5),
)
def test_chunks_have_every_row_once_and_number_its_step(rows, run, batch_runs, threads, used):
    starts = np.random.default_rng(rows).permutation(np.arange(0, rows, run))
    chunks = divide(Labels(rows), starts, run, batch_runs, threads, 7, used)
    assert chunks.size == rows
    units = np.arange(len(starts) + 1) if batch_runs is None else chunks.bounds
    if rows:
        assert (chunks.edges[0], units[chunks.edges[-1]]) == (0, len(starts))
        assert (np.diff(chunks.edges) > 0).all()
    ends = np.concatenate([[0], np.cumsum(np.minimum(run, rows - starts))])
    taken = ends[chunks.edges] if batch_runs is None else chunks.edges
    np.testing.assert_array_equal(chunks.steps, 7 + taken)


@given(size=st.integers(1, 40), threads=st.integers(1, 5), block=st.integers(1, 30))
def test_stretches_share_the_model_and_nothing_else(size, threads, block):
    model, *own = stretches(np.arange(size, dtype=np.float64), threads, block)
    assert model.tolist() == list(range(size))
    for t, mine in enumerate(own):
        begin = (t + 1) * block
        np.testing.assert_array_equal(mine[begin : begin + size], model)
        assert np.shares_memory(mine[begin : begin + size], model)
        # A thread's own part is its head, and its own intercept the end: nobody else's model lies there.
        mine[:block] = mine[-1] = -1.0 - t
    assert model.tolist() == list(range(size))
    assert [mine[0] for mine in own] == [mine[-1] for mine in own] == [-1.0 - t for t in range(threads)]


@pytest.mark.parametrize("layout", ["codes", "crosses", "mixed"])
def test_codes_are_moved_to_their_slots_or_shared_weights(layout):
    case = make_case(layout)
    p, d = case.problem.layout.dense, case.problem.layout.size
    hot = choose_hot(case.rows, case.problem.frame, d, slots=20, block=p + 30)
    assert len(hot.weights) == len(set(hot.weights)) <= 20
    places = np.concatenate([np.arange(p), hot.weights, [d]])
    copies = Copies(State(np.arange(d + 1, dtype=np.float32), None, None), 3, 1, "hot", hot.block)
    copies.open(places)
    codes = np.array(case.rows.codes[:50])
    for thread, own in enumerate(copies.own):
        moved = np.zeros_like(codes)
        move_codes.py_func(hot.moves_of(thread), codes, moved)
        np.testing.assert_array_equal(own.params[moved], codes)
        np.testing.assert_array_equal(moved < hot.block, np.isin(codes, hot.weights))
    assert np.isin(codes, hot.weights).mean() > 0.3


def merged(mine, theirs, state):
    """Weights and state after a thread with the changes ``mine`` merges with one that has merged ``theirs``, all from 1."""
    size = len(mine)

    def arrays(change):
        return np.ones(size, np.float32) + np.asarray(change, np.float32)

    own = State(arrays(mine), arrays(state), None)
    together = State(arrays(theirs), arrays(state), None)
    seen = State(arrays(np.zeros(size)), arrays(np.zeros(size)), None)
    meeting = Meeting(together, seen, size - 1, np.float32(1), np.zeros(CLAIMS, np.int64))
    merge(in_dtype(AdaGrad(), SINGLE), Penalty(np.float32(0), np.float32(0), True), own, meeting, 5)
    for part in (together, seen):
        np.testing.assert_array_equal(part.params, own.params)
        np.testing.assert_array_equal(part.first, own.first)
    return own.params - 1, own.first - 1


numbers = st.lists(st.integers(-50, 50), min_size=3, max_size=3)


@settings(max_examples=50, deadline=None)
@given(left=numbers, right=numbers, state=st.lists(st.integers(0, 50), min_size=6, max_size=6))
def test_changes_of_different_weights_and_sums_add_up_exactly(left, right, state):
    weights, sums = merged([*left, 0, 0, 0], [0, 0, 0, *right], state)
    assert weights.tolist() == [*left, *right]
    assert sums.tolist() == [2 * value for value in state]


@settings(max_examples=50, deadline=None)
@given(change=numbers, times=st.sampled_from([1, -1]))
def test_changes_that_agree_count_once_and_opposite_ones_cancel(change, times):
    weights, _ = merged(change, [times * value for value in change], [0, 0, 0])
    assert weights.tolist() == (change if times == 1 else [0, 0, 0])


def test_moving_averages_are_averaged():
    copies = Copies(State(np.zeros(3, np.float32), np.ones(3, np.float32), None), 2, 1, "all", share=0.5)
    copies.open()
    for own, value in zip(copies.own, (2.0, 4.0), strict=True):
        own.first[:] = value
    for own, meeting in zip(copies.own, copies.meetings, strict=True):
        merge(in_dtype(AdaGrad(), SINGLE), Penalty(np.float32(0), np.float32(0), True), own, meeting, 5)
    copies.close()
    # Half of the way from 1 to 2, and from there half of the way to 4.
    assert copies.model.first.tolist() == [2.75] * 3
