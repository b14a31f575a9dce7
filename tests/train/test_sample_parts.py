"""The part of a sample that comes to the driver of an engine's rounds: the same sums as where the rows were drawn."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from dsgd.losses import make_loss
from dsgd.objective.curvature import SampledRows
from dsgd.objective.features import DenseFeatures, SparseFeatures
from dsgd.train import engine_field, sample_parts
from dsgd.train.modes import Sync

from .fits import train

WIDTH = 4


class Problem:
    """As much of a problem as sums over rows look at."""

    loss, outputs, dtype = make_loss("log_loss"), 1, np.dtype(np.float64)


def drawn(rows, sparse, seed):
    """What a share has drawn."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, WIDTH)) * (rng.random((rows, WIDTH)) < 0.5)
    features = SparseFeatures(csr_array(matrix)) if sparse else DenseFeatures(matrix)
    target = np.where(rng.random(rows) < 0.5, 1.0, -1.0)
    sample = SampledRows(Problem(), features, target, rng.uniform(1, 2, rows), rng.normal(size=rows))
    sample.squares = rng.random(WIDTH - 1)
    return sample


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("step", [1, 3])
def test_rows_of_several_shares_add_up(sparse, step):
    shares = [drawn(rows, sparse, seed) for seed, rows in enumerate((20, 0, 1, 7))]
    messages = [sample_parts.to_bytes(share, step) for share in shares]
    joined = sample_parts.join(sample_parts.join(messages[0], messages[1]), sample_parts.join(messages[2], messages[3]))
    squares, rows = sample_parts.from_bytes(Problem(), joined)
    np.testing.assert_array_equal(squares, np.sum([share.squares for share in shares], axis=0))
    weights = np.linspace(-1, 1, WIDTH)
    expected = sum(share.sums(weights, 1 / step).to_vector() for share in shares)
    np.testing.assert_allclose(rows.sums(weights).to_vector(), expected, rtol=1e-12, atol=1e-12)


def test_a_large_sample_sends_sums_of_squares_only():
    squares, rows = sample_parts.from_bytes(Problem(), sample_parts.to_bytes(drawn(5, False, 0), 0))
    assert rows is None
    assert len(squares) == WIDTH - 1


def test_the_same_model_wherever_the_sample_is_looked_at(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 5)).astype(np.float32)
    y = X @ [1.0, -2.0, 0.5, 0.0, 1.0] + rng.logistic(size=6000) > 0
    rounds, ask = [], engine_field.EngineField.ask

    def counted(field, work, *combine, **arguments):
        rounds[-1].append(work)
        return ask(field, work, *combine, **arguments)

    monkeypatch.setattr(engine_field.EngineField, "ask", counted)
    models = []
    # All rows come; every tenth; none.
    for limit in (1 << 20, 1 << 14, 1 << 5):
        monkeypatch.setattr(engine_field, "_GATHERED", limit)
        rounds.append([])
        models.append(train(X, y, mode=Sync("engine"), n_workers=2, tol=1e-6))
    assert len(rounds[0]) < len(rounds[1]) < len(rounds[2])
    assert "sums" not in rounds[0]
    for model in models[1:]:
        np.testing.assert_allclose(model.coef, models[0].coef, rtol=2e-3, atol=2e-3)
