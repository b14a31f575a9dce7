"""The aggregate tree: every result once, in order, in no more levels than asked for, whatever the numbers."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dsgd.train import tree

COUNTS, DEPTHS = st.integers(1, 3000), st.integers(1, 6)


@given(COUNTS, DEPTHS)
def test_levels_cover_the_level_below_in_order(count, depth):
    shape = tree.levels(count, depth)
    for groups in shape:
        assert groups[0][0] == 0
        assert groups[-1][1] == count
        assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(groups))
        assert all(start < stop for start, stop in groups)
        count = len(groups)
    assert count == 1


@given(COUNTS, DEPTHS)
def test_levels_are_as_many_as_asked_for_at_most(count, depth):
    shape = tree.levels(count, depth)
    assert 1 <= len(shape) <= depth
    assert all(len(groups) > 1 for groups in shape[:-1])


@given(COUNTS, DEPTHS)
def test_neighbours_meet_by_their_position(count, depth):
    # Spark finds the group of a result by a division.
    fan = tree.fan_in(count, depth)
    for groups in tree.levels(count, depth):
        for group, (start, stop) in enumerate(groups):
            assert all(position // fan == group for position in range(start, stop))


@given(COUNTS, DEPTHS)
def test_the_fan_in_is_the_smallest_that_does(count, depth):
    fan = tree.fan_in(count, depth)
    assert fan**depth >= count
    assert fan == 2 or (fan - 1) ** depth < count


@given(st.lists(st.integers(), min_size=1, max_size=200), DEPTHS)
def test_a_fold_of_lists_keeps_the_order(values, depth):
    assert tree.reduce([[value] for value in values], lambda left, right: left + right, depth) == values
