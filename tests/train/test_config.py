"""Every parameter of a fit is checked before any work starts: a wrong value is a ConfigError that names the parameter."""

from dataclasses import fields

import numpy as np
import pytest

from dsgd import ConfigError, Sync
from dsgd.train.config import FitConfig

NAN, INF = float("nan"), float("inf")
NO_NUMBER = ("x", None, True, NAN, INF, [1.0], np.ones(2))
NO_INTEGER = ("2", 2.5, 2.0, True, -1, NAN, [1], np.ones(2))
NO_BOOLEAN = ("yes", None, 1, 0.0, np.ones(2))
NO_NAME = ("nope", 1, ["l2"], np.array(["l2", "l1"]))
WRONG = {
    "task": (*NO_NAME, None),
    "loss": (*NO_NAME, None, "poisson"),
    "epsilon": (*NO_NUMBER, -0.1),
    "quantile": (*NO_NUMBER, 0.0, 1.5),
    "power": (*NO_NUMBER, 0.5, 3),
    "penalty": NO_NAME,
    "alpha": (*NO_NUMBER, -1.0),
    "l1_ratio": (*NO_NUMBER, -0.1, 1.1),
    "fit_intercept": NO_BOOLEAN,
    "family": (*NO_NAME, None),
    "class_weight": ([1, 2], "even", {0: "x"}, {0: -1.0}, {0: NAN}, {0: None}, np.ones(2)),
    "optimizer": (*NO_NAME, None),
    "learning_rate": (*NO_NAME, None),
    "eta0": (*NO_NUMBER, 0.0),
    "power_t": (*NO_NUMBER, -3),
    "warmup_steps": (*NO_INTEGER, None),
    "batch_size": (*NO_INTEGER, None, 0, 10.5, "all"),
    "max_iter": (*NO_INTEGER, None, 0),
    "tol": ("x", True, NAN, INF, -1e-3),
    "n_iter_no_change": (*NO_INTEGER, None, 0),
    "early_stopping": NO_BOOLEAN,
    "validation_fraction": (*NO_NUMBER, -0.1, 1.1),
    "average": ("yes", None, -1, 1.5, [1]),
    "shuffle": ("no", *NO_BOOLEAN),
    "standardize": NO_BOOLEAN,
    "dtype": (*NO_NAME, None, "float16"),
    "mode": ("sync", None, Sync),
    "n_workers": (*NO_INTEGER, None, 0),
    "threads_per_worker": (*NO_INTEGER, None, 0),
    "seed": (*NO_INTEGER, None),
    "cache_bytes": NO_INTEGER,
    "memory_limit": (*NO_INTEGER, 0),
    "encrypt": NO_BOOLEAN,
    "port_range": (4000, (4000,), (0, 10), (10, 9), (1, 65536), ("1", "9"), (1.0, 9), (True, 9)),
    "interface": ("", 1, True, ["lo"]),
    "deadline": (*NO_NUMBER, 0, -1.0),
    "checkpoint": ("fits", 1, True),
}


def test_no_parameter_is_left_out():
    assert WRONG.keys() == {parameter.name for parameter in fields(FitConfig)}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=rf"^{name}\b"):
        FitConfig(**{name: value})


@pytest.mark.parametrize("value", [0, -1, True, 2.5, 2.0, "x", None, np.True_, np.float64(2)])
def test_steps_between_two_averagings(value):
    with pytest.raises(ConfigError, match="local_steps must be an integer >= 1 or 'epoch'"):
        Sync(local_steps=value)


@pytest.mark.parametrize(
    ("parameters", "advice"),
    [
        ({"learning_rate": "optimal", "alpha": 0.0}, "'invscaling'"),
        ({"learning_rate": "optimal", "penalty": None, "batch_size": 32}, "'invscaling'"),
        ({"loss": "hinge", "family": "multinomial"}, "family='ovr'"),
        ({"early_stopping": True, "validation_fraction": 0.0}, "above 0"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "below 1"),
        ({"task": "regression", "loss": "huber", "epsilon": 0.0}, "epsilon must be > 0 for huber"),
        ({"task": "regression", "loss": "huber", "class_weight": "balanced"}, "class_weight"),
        ({"task": "regression", "loss": "huber", "family": "ovr"}, "family"),
    ],
)
def test_values_that_do_not_go_together(parameters, advice):
    with pytest.raises(ConfigError, match=advice):
        FitConfig(**parameters)


def test_numpys_values_are_as_good_as_pythons():
    config = FitConfig(
        max_iter=np.int64(3), alpha=np.float32(0.5), shuffle=np.bool_(False), average=np.True_, loss=np.str_("hinge")
    )
    plain = FitConfig(max_iter=3, alpha=0.5, shuffle=False, average=True, loss="hinge")
    assert config == plain
    assert [type(value) for value in vars(config).values()] == [type(value) for value in vars(plain).values()]
    assert type(Sync(local_steps=np.int64(4)).local_steps) is int
