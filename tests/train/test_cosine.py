"""A cosine falls to zero with the last step of a fit, in whatever way a mode counts its steps; also of a fit that goes on."""

import numpy as np
import pytest

from dsgd.optim.schedules import Cosine
from dsgd.train import driver_rounds, recipe, stepwise, svrg
from dsgd.train.modes import Sync

from ..properties.problems import problem
from .fits import train

COSINE = {"learning_rate": "cosine", "tol": None, "optimizer": "sgd", "eta0": 0.1, "batch_size": 16, "alpha": 1e-3}
FITS = {
    "one rank": {},
    "online": {"batch_size": 1},
    "uneven runs": {"batch_size": 50},
    "global steps": {"n_workers": 2},
    "local steps": {"n_workers": 2, "mode": Sync(local_steps=4)},
    "local epochs": {"n_workers": 3, "mode": Sync(local_steps="epoch")},
    "online, local steps": {"n_workers": 2, "mode": Sync(local_steps=8), "batch_size": 1},
    "online, local epochs": {"n_workers": 2, "mode": Sync(local_steps="epoch"), "batch_size": 1},
    "engine": {"n_workers": 2, "mode": Sync(topology="engine"), "batch_size": "auto"},
    "engine, local epochs": {"n_workers": 2, "mode": Sync(topology="engine", local_steps="epoch")},
    "svrg": {"optimizer": "svrg"},
    "whitened": {"optimizer": "svrg", "eta0": "auto"},
    "averaged": {"average": True, "eta0": "auto"},
}


@pytest.fixture
def ends(monkeypatch):
    """The steps at which the cosines of a fit end, in the order in which they were made; those of a rank without rows aside."""
    found = []
    make, stretch = recipe.make_schedule, stepwise.stretched

    def note(schedule):
        if isinstance(schedule, Cosine):
            found.append(float(schedule.total_steps))
        return schedule

    monkeypatch.setattr(recipe, "make_schedule", lambda *args, **more: note(make(*args, **more)))
    for module in (stepwise, svrg, driver_rounds):
        monkeypatch.setattr(module, "stretched", lambda schedule, end: note(stretch(schedule, end)))
    return found


# The one epoch of plain variance reduction would be its last gradient, and take no step.
@pytest.mark.parametrize(("fit", "epochs"), [(fit, n) for fit in FITS for n in (1, 4) if (fit, n) != ("svrg", 1)])
def test_the_rate_is_zero_at_the_last_step(fit, epochs, ends):
    model = train(*problem(), max_iter=epochs, **COSINE | FITS[fit])
    assert model.steps > 0
    assert ends[-1] == pytest.approx(model.steps, rel=0.1 if epochs == 1 else 0.03)


@pytest.mark.parametrize("fit", [name for name in FITS if name not in ("svrg", "whitened", "averaged")])
def test_a_fit_that_goes_on_has_steps_to_take(fit, ends):
    X, y = problem()
    first = train(X, y, max_iter=2, **COSINE | FITS[fit])
    second = train(X, 1 - y, max_iter=2, initial=first, **COSINE | FITS[fit])
    assert second.steps == pytest.approx(2 * first.steps, rel=0.02)
    assert ends[-1] == pytest.approx(second.steps, rel=0.05)
    assert np.abs(second.coef - first.coef).max() > 0.01 * np.abs(first.coef).max()
