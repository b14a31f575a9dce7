"""Codecs lose what they may lose, and error feedback brings it back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dsgd.collectives import SingleProcess
from dsgd.compression import CompressedCollective, Half, Int8, TopK, compressed
from dsgd.errors import ConfigError, WorkerLost

from ..collectives.gangs import Setting, start

CODECS = [Half(), Int8(chunk=16), Int8(chunk=16, stochastic=False), TopK(0.2)]
VECTORS = arrays(
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 70),
    elements=st.floats(-1e6, 1e6, width=32).map(lambda value: 0.0 if abs(value) < 1e-20 else value),
)


def decoded(codec, vector, rank=0, step=0):
    total = np.zeros_like(vector)
    codec.add_to(total, codec.compress(vector, rank, step))
    return total


@pytest.mark.parametrize("codec", CODECS, ids=repr)
@given(vector=VECTORS)
@settings(max_examples=60, deadline=None)
def test_a_payload_has_the_layout_that_the_length_says(codec, vector):
    payload = codec.compress(vector, 0, 0)
    assert [(array.dtype, len(array)) for array in payload] == codec.layout(len(vector))


@given(vector=VECTORS)
@settings(max_examples=60, deadline=None)
def test_half_precision_is_within_a_rounding_of_each_number(vector):
    largest = np.max(np.abs(vector), initial=0.0)
    bound = np.maximum(np.abs(vector) * 2.0**-11, largest * 2.0**-39) * 1.0001
    assert np.all(np.abs(decoded(Half(), vector) - vector) <= bound)


@pytest.mark.parametrize(("stochastic", "steps"), [(False, 0.5), (True, 1.0)])
@given(vector=VECTORS)
@settings(max_examples=60, deadline=None)
def test_int8_is_within_a_step_of_its_chunk(stochastic, steps, vector):
    found = decoded(Int8(16, stochastic), vector)
    for start_ in range(0, len(vector), 16):
        chunk = slice(start_, start_ + 16)
        bound = steps * np.max(np.abs(vector[chunk])) / 127 * 1.0001
        assert np.all(np.abs(found[chunk] - vector[chunk]) <= bound)


@given(vector=VECTORS)
@settings(max_examples=60, deadline=None)
def test_top_k_sends_the_largest_exactly_and_nothing_else(vector):
    codec = TopK(0.2)
    found = decoded(codec, vector)
    sent = codec.compress(vector, 0, 0)[0]
    assert np.all(np.diff(sent) > 0)
    np.testing.assert_array_equal(found[sent], vector[sent].astype(np.float32))
    rest = np.delete(vector, sent)
    assert len(rest) == 0 or np.max(np.abs(rest)) <= np.min(np.abs(vector[sent]))
    assert np.all(np.delete(found, sent) == 0)


def test_stochastic_rounding_is_unbiased():
    vector = np.random.default_rng(0).normal(size=200)
    codec = Int8(chunk=50)
    repeats = 2000
    mean = np.mean([decoded(codec, vector, step=step) for step in range(repeats)], axis=0)
    scale = np.repeat(np.abs(vector.reshape(4, 50)).max(axis=1) / 127, 50)
    # A rounding has a standard deviation of half a step at most; five of those of the mean.
    assert np.all(np.abs(mean - vector) <= 5 * scale / 2 / np.sqrt(repeats))


def test_random_choices_are_those_of_the_seed_the_rank_and_the_step():
    vector = np.random.default_rng(0).normal(size=100)
    reference = decoded(Int8(seed=1), vector, rank=2, step=3)
    np.testing.assert_array_equal(decoded(Int8(seed=1), vector, rank=2, step=3), reference)
    for codec, rank, step in ((Int8(seed=2), 2, 3), (Int8(seed=1), 1, 3), (Int8(seed=1), 2, 4)):
        assert np.any(decoded(codec, vector, rank, step) != reference)


@pytest.mark.parametrize("codec", CODECS, ids=repr)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(codec, bad):
    vector = np.ones(40)
    vector[7] = bad
    assert not np.all(np.isfinite(decoded(codec, vector)))


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_error_feedback_loses_nothing_but_what_it_still_holds(codec):
    """Over any number of steps: what was sent plus the memory is what was given."""
    collective = CompressedCollective(SingleProcess(), codec)
    generator = np.random.default_rng(1)
    given_, sent = np.zeros(100), np.zeros(100)
    for _ in range(200):
        gradient = generator.normal(size=100)
        given_ += gradient
        collective.allreduce(gradient)
        sent += gradient
    (memory,) = collective.residuals.values()
    np.testing.assert_allclose(sent + memory, given_, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("codec", [Half(), Int8(chunk=16, stochastic=False), TopK(0.2)], ids=repr)
def test_the_memory_stays_bounded(codec):
    """A codec that keeps a share delta of a squared norm bounds it by 4 (1 - delta) / delta^2 (Karimireddy et al., 2019)."""
    collective = CompressedCollective(SingleProcess(), codec)
    generator = np.random.default_rng(2)
    delta = 0.2 if isinstance(codec, TopK) else 0.9
    for _ in range(500):
        gradient = generator.normal(size=100)
        gradient /= np.linalg.norm(gradient)
        collective.allreduce(gradient)
        (memory,) = collective.residuals.values()
        assert np.sum(memory**2) <= 4 * (1 - delta) / delta**2


def descend(collective, kind: str) -> list:
    """Descend on a quadratic whose rows are dealt to the ranks; return the relative distance to the optimum, and w."""
    generator = np.random.default_rng(3)
    X = generator.normal(size=(120, 20))
    y = generator.normal(size=120)
    mine = slice(collective.rank, None, collective.size)
    lossy = compressed(collective, kind, exact_tail=1, **({"fraction": 0.1} if kind == "topk" else {}))
    w = np.zeros(20)
    for step in range(3000):
        buffer = np.append(X[mine].T @ (X[mine] @ w - y[mine]), len(y[mine]))
        lossy.allreduce(buffer)
        assert buffer[-1] == 120
        # The gradient of one rank's rows does not vanish at the optimum, so what waits in memory must weigh less and less.
        w -= 4 / (step + 40) * buffer[:-1] / buffer[-1]
    optimum = np.linalg.lstsq(X, y, rcond=None)[0]
    return [float(np.linalg.norm(w - optimum) / np.linalg.norm(optimum)), w.tobytes()]


@pytest.mark.parametrize("kind", ["fp16", "int8", "topk"])
@pytest.mark.parametrize("setting", [Setting(), Setting(machines=0, encrypt=False)], ids=["shared memory", "ring"])
def test_descent_with_lossy_gradients_reaches_the_optimum_alike_on_all_ranks(kind, setting):
    gang = start(setting, 3)
    try:
        results = gang.run(descend, kind)
    finally:
        gang.close()
    for distance, bits in results:
        assert distance < 5e-3
        assert bits == results[0][1]


def test_integers_and_sparse_vectors_stay_exact():
    lossy = compressed(SingleProcess(), "topk")
    counts = np.arange(100)
    lossy.allreduce(counts)
    assert counts.tolist() == list(range(100))
    indices, values = lossy.allreduce_sparse(np.array([1, 5], np.int32), np.array([0.1, 0.2]))
    assert (indices.tolist(), values.tolist()) == ([1, 5], [0.1, 0.2])
    assert lossy.residuals == {}


def test_no_compression_is_the_collective_itself():
    collective = SingleProcess()
    assert compressed(collective, "none") is collective


@pytest.mark.parametrize(
    ("kind", "knobs", "message"),
    [
        ("zip", {}, "compression must be"),
        ("fp16", {"chunk": 3}, "does not know chunk"),
        ("int8", {"chunk": 0}, "chunk must be"),
        ("topk", {"fraction": 0.0}, "fraction must be"),
        ("topk", {"fraction": 1.5}, "fraction must be"),
        ("topk", {"exact_tail": -1}, "exact_tail must be"),
    ],
)
def test_unusable_settings_are_refused(kind, knobs, message):
    with pytest.raises(ConfigError, match=message):
        compressed(SingleProcess(), kind, **knobs)


def lengths_differ(collective):
    compressed(collective, "fp16").allreduce(np.zeros(10 + collective.rank))


def test_ranks_out_of_step_are_told_so():
    gang = start(Setting(), 2)
    try:
        assert all(isinstance(result, WorkerLost) for result in gang.run(lengths_differ))
    finally:
        gang.close()
