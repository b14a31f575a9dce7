"""A wrong parameter through every face: told under the name that its user gave, before anything is started or read.

The core's own list of wrong values is in ``tests/train/test_config.py``; here are a few of each kind. What stands for the data
can neither be read nor asked for an engine.
"""

import re

import numpy as np
import pytest
from click.testing import CliRunner

import dsgd
from dsgd import ConfigError
from pipelines.cli import main
from pipelines.commands import fit as fit_command

SCIKIT = ("dsgd", "dask_ext")
# What is given, and which parameter the message begins with.
CLASSIFIER = [
    ({"alpha": -1.0}, "alpha"),
    ({"max_iter": 2.5}, "max_iter"),
    ({"n_workers": 2.0}, "n_workers"),
    ({"threads_per_worker": "2"}, "threads_per_worker"),
    ({"fit_intercept": "yes"}, "fit_intercept"),
    ({"class_weight": [1, 2]}, "class_weight"),
    ({"class_weight": {"no": -1.0}}, "class_weight"),
    ({"l1_ratio": "x"}, "l1_ratio"),
    ({"validation_fraction": None}, "validation_fraction"),
    ({"power_t": -3, "learning_rate": "invscaling"}, "power_t"),
    ({"shuffle": np.ones(2)}, "shuffle"),
    ({"port_range": (9, 1)}, "port_range"),
    ({"interface": 1}, "interface"),
    ({"deadline": 0}, "deadline"),
    ({"warm_start": "no"}, "warm_start"),
    ({"verbose": "loud"}, "verbose"),
    ({"random_state": -1}, "random_state"),
    ({"dtype": "float16"}, "dtype"),
    ({"learning_rate": "optimal", "alpha": 0.0}, "learning_rate='optimal'"),
    ({"optimizer": "svrg", "loss": "hinge"}, "optimizer='svrg'"),
]
REGRESSOR = [
    ({"epsilon": -1.0}, "epsilon"),
    ({"quantile": 1.5}, "quantile"),
    ({"power": "x"}, "power"),
    ({"loss": "huber", "epsilon": 0.0}, "epsilon"),
    ({"loss": "hinge"}, "loss='hinge'"),
]


@pytest.mark.parametrize("package", SCIKIT)
@pytest.mark.parametrize(
    ("task", "given", "told"),
    [("SGDClassifier", *case) for case in CLASSIFIER] + [("SGDRegressor", *case) for case in REGRESSOR],
)
def test_scikit_learns_names(package, task, given, told, monkeypatch):
    face = getattr(pytest.importorskip(package), task)
    monkeypatch.setattr(face, "_engine", lambda self, X: pytest.fail("an engine was opened"))
    with pytest.raises(ConfigError, match=rf"^{told} "):
        face(**given).fit(object(), [0, 1])


@pytest.mark.parametrize("package", SCIKIT)
@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("columns", "not columns: it needs mode='sync', not 'columns'"),
        (dsgd.Columns(save_to="m"), "not columns: it needs mode='sync', not 'columns'"),
        (dsgd.Hybrid(1, 2), "not columns: it needs mode='sync', not 'hybrid'"),
        ("async", "it needs mode='sync', not 'async'"),
        (dsgd.Sync(backup_workers=1), "not backup_workers=1"),
        (dsgd.Sync(topology="engine"), "not topology='engine'"),
    ],
    ids=repr,
)
def test_a_search_takes_no_mode_by_which_it_does_not_train(package, mode, told, monkeypatch):
    faces = pytest.importorskip(package)
    monkeypatch.setattr(faces.SGDClassifier, "_engine", lambda self, X: pytest.fail("an engine was opened"))
    search = faces.SweepCV(faces.SGDClassifier(mode=mode, n_workers=2), {"alpha": [1e-3, 1e-4]})
    with pytest.raises(ConfigError, match=rf"^a search .*{told}"):
        search.fit(object(), [0, 1])


SPARK = [
    ({"regParam": -1.0}, "regParam must be a number >= 0 or 'auto', not -1.0"),
    ({"elasticNetParam": 1.5}, "elasticNetParam must be"),
    ({"maxIter": 0}, "maxIter must be"),
    ({"stepSize": 0.0}, "stepSize must be"),
    ({"numWorkers": -1}, "numWorkers must be"),
    ({"localSteps": 0}, "localSteps must be"),
    ({"deadline": 0.0}, "deadline must be"),
    ({"portRange": [9, 1]}, "portRange must be"),
    ({"averaging": -1}, "averaging must be"),
    ({"seed": -1}, "seed must be"),
    ({"learningRate": "optimal"}, "learningRate='optimal' takes its rates from the penalty: use regParam > 0"),
    ({"topology": "engine", "localSteps": 3}, "topology='engine' .* so localSteps must be 1"),
    ({"topology": "engine", "batchSize": 64}, "topology='engine' .* leave batchSize='auto'"),
]


@pytest.mark.parametrize(("given", "told"), SPARK)
def test_sparks_names(given, told):
    estimator = pytest.importorskip("spark_ext").SGDClassifier(**given)
    for fit in (estimator.fit, estimator.fitParquet):
        with pytest.raises(ConfigError, match=f"^{told}"):
            fit(object())


@pytest.mark.parametrize(
    "given",
    [
        {"localSteps": 2.7},
        {"localSteps": "x"},
        {"maxIter": 2.5},
        {"maxIter": None},
        {"interactions": ["ab"]},
        {"interactions": 3},
        {"portRange": 4000},
        {"encrypt": "yes"},
        {"regParam": "much"},
    ],
)
def test_sparks_values_are_converted_or_refused(given):
    with pytest.raises(ConfigError, match=next(iter(given))):
        pytest.importorskip("spark_ext").SGDClassifier(**given)


def test_sparks_parameters_of_a_copy_are_checked_too():
    """A map of parameters is what cross-validation gives."""
    estimator = pytest.importorskip("spark_ext").SGDClassifier()
    with pytest.raises(ConfigError, match="localSteps"):
        estimator.fit(object(), {estimator.localSteps: 2.7})


@pytest.mark.parametrize("engine", ["local", "dask", "spark"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--alpha", "-1"], "--alpha must be"),
        (["--eta0", "0"], "--eta0 must be"),
        (["--port-range", "9-1"], "--port-range must be"),
        (
            ["--topology", "engine", "--batch-size", "8"],
            "--topology='engine' with --local-steps=1 .* --batch-size='auto'",
        ),
    ],
)
def test_the_options_of_the_command_line(engine, words, told, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.faces.session", lambda *_, **__: pytest.fail("an engine was started"))
    place = ["--label", "y", "--engine", engine, "--out", str(tmp_path / "model")]
    done = CliRunner().invoke(main, ["fit", str(tmp_path / "no-data"), *place, *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.match(f"dsgd: {told}", done.stderr)


def test_every_face_knows_how_ranks_meet():
    """Ports, interface and deadline, which a cluster's firewall may ask for."""
    wanted = {"port_range", "interface", "deadline"}
    for package in SCIKIT:
        for task in ("SGDClassifier", "SGDRegressor"):
            assert wanted <= set(getattr(pytest.importorskip(package), task)().get_params())
    assert wanted <= set(pytest.importorskip("spark_ext.params.names").CORE_NAMES.values())
    assert wanted <= {option.name for option in fit_command.command.params}
