"""What a step of column blocks sends is what the formula says, to the byte, and does not depend on the number of weights."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

from dsgd.collectives import connect
from dsgd.train.columns import grid
from dsgd.train.modes import Columns
from dsgd.transport.frames import HEADER_BYTES, INLINE

from .fits import train

STEPS = 4


def sent(monkeypatch, *, d: int, ranks: int, batch: int, outputs: int, dtype: str, epochs: int) -> int:
    """Bytes that rank 0 sends along its row in a fit over sockets."""
    rng, n, circles = np.random.default_rng(5), STEPS * batch, []

    def over_sockets(context, topology, largest, **options):
        # Ranks that say they are on machines of their own do not meet in shared memory.
        circle = connect(replace(context, machine=f"machine {context.rank}"), topology, largest, **options)
        if context.rank == 0 and context.size > 1:
            circles.append(circle)
        return circle

    monkeypatch.setattr(grid, "connect", over_sockets)
    X = scipy.sparse.csr_matrix(
        (np.ones(3 * n), rng.integers(0, d, 3 * n), np.arange(0, 3 * n + 1, 3)), shape=(n, d), dtype=dtype
    )
    y = np.arange(n) % outputs if outputs > 1 else np.where(rng.random(n) < 0.5, 1.0, -1.0)
    config = {"optimizer": "adagrad", "eta0": 0.1, "batch_size": batch, "max_iter": epochs, "tol": None, "dtype": dtype}
    model = train(X, y, n_workers=ranks, mode=Columns(), **config)
    assert model.state["step"] == STEPS * epochs
    (circle,) = circles
    return circle._channel.sent_bytes


def ring_bytes(ranks: int, numbers: int, itemsize: int) -> int:
    """Bytes that a rank of a ring sends for a sum of so many numbers, as docs/mathematics.md has it (a piece a segment)."""
    payload = numbers * itemsize
    if payload <= INLINE:
        return (ranks - 1) * (payload + HEADER_BYTES)
    return 2 * (ranks - 1) * (payload // ranks + HEADER_BYTES)


@pytest.mark.parametrize(
    ("ranks", "batch", "outputs", "dtype"),
    [
        (2, 64, 1, "float32"),
        (3, 192, 1, "float32"),
        (3, 192, 3, "float64"),
        (2, 4096, 1, "float32"),
        (4, 4096, 1, "float64"),
    ],
)
def test_a_step_sends_its_scores_and_nothing_else(monkeypatch, ranks, batch, outputs, dtype):
    options = {"ranks": ranks, "batch": batch, "outputs": outputs, "dtype": dtype}
    epochs = {}
    for d in (300, 200_000):
        one, three = (sent(monkeypatch, d=d, epochs=count, **options) for count in (1, 3))
        epochs[d] = three - one
    step = ring_bytes(ranks, batch * outputs, np.dtype(dtype).itemsize)
    assert len(set(epochs.values())) == 1
    # And once an epoch the penalty, and the ranks' times: a few numbers, each with its header.
    beside = epochs[300] - 2 * STEPS * step
    assert 0 < beside <= 2 * 8 * (ranks - 1) * (8 + HEADER_BYTES)
