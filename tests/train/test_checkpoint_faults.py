"""What goes wrong around checkpoints: disks that fill, other rows, two beginnings at once; and fits of all kinds that go on."""

import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dsgd import (
    Async,
    Checkpoint,
    CheckpointError,
    Columns,
    ConfigError,
    Hybrid,
    SGDClassifier,
    SGDRegressor,
    Sync,
    WorkerLost,
)
from dsgd.data.sources import as_dataset
from dsgd.train import stepwise
from dsgd.train.again import RankLost, again, refuse_least
from dsgd.train.checkpoints import beginning, folder, keeper
from dsgd.train.checkpoints.replay import LoggedField
from dsgd.train.checkpoints.weights import Held, carried
from dsgd.train.config import FitConfig
from pipelines import cli

from ..interruptions import Interrupted, interrupt_after


def table(rows=2000, seed=0):
    random = np.random.default_rng(seed)
    dense = random.normal(size=(rows, 4))
    city = random.integers(0, 300, rows)
    score = dense @ [1.0, -2.0, 0.5, 1.0] + 0.1 * (city % 7) + random.normal(size=rows)
    columns = {f"x{j}": dense[:, j].astype(np.float32) for j in range(4)}
    return pa.table(
        columns | {"city": pa.array([f"c{v}" for v in city]).dictionary_encode(), "y": (score > 0).astype(int)}
    )


TABLE = table()
STEPS = {
    "optimizer": "adagrad", "batch_size": 64, "max_iter": 12, "tol": None, "alpha": 1e-3, "random_state": 3,
    "categorical": ["city"], "hash_bits": 12,
}  # fmt: skip


def every(place, steps=20, **more):
    return Checkpoint(str(place), seconds=None, steps=steps, **more)


def interrupted(monkeypatch, fit, saves=2):
    """Have every rank die after so many checkpoints."""
    with monkeypatch.context() as patch:
        interrupt_after(patch, saves)
        with pytest.raises((Interrupted, WorkerLost)):
            fit()


def weights(model):
    return np.append(model.coef_.ravel(), model.intercept_)


@pytest.mark.parametrize(
    "more",
    [
        {"mode": Hybrid(2, 2), "n_workers": 4},
        {"mode": Sync(), "n_workers": 2},
    ],
    ids=["hybrid", "ring"],
)
def test_rows_in_another_order_begin_the_epoch_anew_on_all_ranks(more, tmp_path, monkeypatch):
    # A block without categories has the same weights in any order of the rows, and one with them has not.
    parameters = STEPS | more | {"hash_bits": 18}

    def fit(rows):
        return SGDClassifier(**parameters, checkpoint=every(tmp_path / "fit", 7)).fit(rows, "y")

    interrupted(monkeypatch, lambda: fit(TABLE))
    meta = json.loads(max((tmp_path / "fit").glob("checkpoint-*/header.json")).read_text())["meta"]
    assert meta["units"], "it is not within an epoch"
    taken, restore = [], stepwise.restore

    def noting(owner, kept):
        taken.append((kept.exact, kept.same_rows))
        restore(owner, kept)

    monkeypatch.setattr(stepwise, "restore", noting)
    again = fit(TABLE.take(np.random.default_rng(1).permutation(len(TABLE))))
    assert again.n_iter_ == 12
    assert len(taken) == more["n_workers"]
    assert len(set(taken)) == 1
    assert not all(taken[0])


def test_other_rows_are_refused(tmp_path, monkeypatch):
    X, y = np.random.default_rng(0).normal(size=(900, 3)), np.tile([0, 1, 1], 300)

    def fit(X, y):
        return SGDClassifier(
            optimizer="adagrad", max_iter=9, tol=None, random_state=0, checkpoint=every(tmp_path / "f")
        ).fit(X, y)

    interrupted(monkeypatch, lambda: fit(X, y))
    with pytest.raises(CheckpointError, match="other means"):
        fit(X + np.array([0.0, 0.1, 0.0]), y)
    with pytest.raises(CheckpointError, match="other means"):
        fit(X, 1 - y)
    fit(X, y)


def failing(monkeypatch, when):
    """Have the disk be full for the parts of some checkpoints."""
    original = folder.Folder.write_part

    def write(self, number, *arguments):
        if when(number):
            raise OSError(28, "No space left on device")
        return original(self, number, *arguments)

    monkeypatch.setattr(folder.Folder, "write_part", write)


def test_a_disk_that_fills_on_the_way_does_not_end_the_fit(tmp_path, monkeypatch, caplog):
    whole = SGDClassifier(**STEPS, n_workers=2, checkpoint=every(tmp_path / "whole")).fit(TABLE, "y")
    failing(monkeypatch, lambda number: number > 1)
    model = SGDClassifier(**STEPS, n_workers=2, checkpoint=every(tmp_path / "fit")).fit(TABLE, "y")
    np.testing.assert_array_equal(weights(model), weights(whole))
    assert "No space left" in caplog.text


def test_a_header_that_cannot_be_written_does_not_end_the_fit(tmp_path, monkeypatch, caplog):
    original = folder.Folder.finish

    def finish(self, number, *arguments):
        if number > 1:
            raise OSError(28, "No space left on device")
        return original(self, number, *arguments)

    monkeypatch.setattr(folder.Folder, "finish", finish)
    model = SGDClassifier(**STEPS, n_workers=2, checkpoint=every(tmp_path / "fit")).fit(TABLE, "y")
    assert model.n_iter_ == 12
    assert "No space left" in caplog.text


def test_a_directory_that_takes_no_checkpoint_at_all_is_told(tmp_path, monkeypatch):
    failing(monkeypatch, lambda number: True)
    with pytest.raises((ConfigError, WorkerLost), match="No space left"):
        SGDClassifier(**STEPS, n_workers=2, checkpoint=every(tmp_path / "fit")).fit(TABLE, "y")


def test_what_cannot_be_removed_does_not_take_the_model_away(tmp_path, monkeypatch, caplog):
    def clear(self):
        raise ConfigError("it cannot be read as a directory")

    monkeypatch.setattr(folder.Folder, "clear", clear)
    assert SGDClassifier(**STEPS, checkpoint=every(tmp_path / "fit")).fit(TABLE, "y").n_iter_ == 12
    assert "could not be removed" in caplog.text


def test_an_end_leaves_the_checkpoints_of_another_beginning(tmp_path, monkeypatch):
    place = tmp_path / "fit"

    def taken_over(record):
        owner = place / "fit.json"
        owner.write_text(json.dumps({**json.loads(owner.read_text()), "token": "another"}))

    SGDClassifier(**STEPS, verbose=taken_over, checkpoint=every(place, 10**6)).fit(TABLE, "y")
    assert json.loads((place / "fit.json").read_text())["token"] == "another"


@pytest.mark.parametrize("remains", ["fit.json.partial", "checkpoint-000000003/part-00000-00000.safetensors"])
def test_remains_of_a_beginning_that_was_cut_short_are_no_hindrance(remains, tmp_path):
    left = tmp_path / "fit" / remains
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    SGDClassifier(**STEPS, checkpoint=every(tmp_path / "fit")).fit(TABLE, "y")
    assert not (tmp_path / "fit").exists()


def test_checkpoints_without_an_owner_are_nobodys_to_remove(tmp_path, monkeypatch):
    place = tmp_path / "fit"
    interrupted(monkeypatch, lambda: SGDClassifier(**STEPS, checkpoint=every(place)).fit(TABLE, "y"))
    (place / "fit.json").unlink()
    with pytest.raises(ConfigError, match="something else"):
        SGDClassifier(**STEPS, checkpoint=every(place, resume=False)).fit(TABLE, "y")
    assert list(place.glob("checkpoint-*/header.json"))


@pytest.mark.parametrize("random_state", [None, "generator"])
def test_a_rank_that_is_lost_keeps_the_drawn_seed(random_state, tmp_path, monkeypatch):
    """Also where checkpoints of others are not gone on from."""
    state = np.random.default_rng(0) if random_state else None
    checkpoint = every(tmp_path / "fit", resume=False)
    model = SGDClassifier(**STEPS | {"random_state": state}, checkpoint=checkpoint)
    seeds = []

    def fit(dataset, config, engine, **more):
        seeds.append(config.seed)
        with beginning.checkpointed(dataset, config, None, None):
            if len(seeds) == 1:
                raise RankLost("a rank has gone")
        raise Interrupted

    monkeypatch.setattr("dsgd.estimators.base.fit", fit)
    # As a cluster's face, which begins all of it again.
    monkeypatch.setattr("dsgd.estimators.base._begun_again", lambda engine, name, attempt: attempt())
    with pytest.raises(Interrupted):
        again(lambda: model.fit(TABLE, "y"), "the fit", lambda: True)
    assert seeds[0] == seeds[1]


def test_what_a_lost_fit_has_left_is_nothing_to_the_next_that_begins_anew(tmp_path, monkeypatch):
    checkpoint = every(tmp_path / "fit", resume=False)

    def lost(dataset, config, engine, **more):
        with beginning.checkpointed(dataset, config, None, None):
            raise RankLost("a rank has gone")

    with monkeypatch.context() as patch:
        patch.setattr("dsgd.estimators.base.fit", lost)
        with pytest.raises(WorkerLost, match="last of 4 attempts"):
            SGDClassifier(**STEPS, checkpoint=checkpoint).fit(TABLE, "y")
    assert (tmp_path / "fit" / "fit.json").exists()
    # Another fit, which could not go on from there.
    SGDClassifier(**STEPS | {"alpha": 0.5}, checkpoint=checkpoint).fit(TABLE, "y")


def test_rows_held_out_by_a_drawn_seed_are_held_out_again(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 3))
    y = (X[:, 0] + random.normal(size=600) > 0).astype(int)

    def fit():
        model = SGDClassifier(
            eta0=0.01,
            learning_rate="constant",
            early_stopping=True,
            max_iter=8,
            tol=None,
            checkpoint=every(tmp_path / "f", 1),
        )
        return model.fit(X, y)

    validations, original = [], keeper.Keeper.check_rows
    monkeypatch.setattr(
        keeper.Keeper, "check_rows", lambda self, *rows: (validations.append(rows), original(self, *rows))
    )
    interrupted(monkeypatch, fit)
    fit()
    assert validations[0] == validations[1]


def test_a_relative_path_is_the_drivers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with beginning.checkpointed(*_nothing(Checkpoint("fits/one"))) as orders:
        assert orders.settings.path == str(tmp_path / "fits" / "one")


def _nothing(checkpoint):
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.tile([0, 1], 10)
    return as_dataset(X, y), FitConfig(checkpoint=checkpoint), None, None


class Gradients:
    """A field whose gradients are long and mostly zero."""

    size = 1 << 20

    def gradient(self, params, width=0.0):
        from dsgd.objective.passes import Partial

        vector = np.zeros(self.size)
        vector[3] = 1.0
        return Partial(vector, 2.0, 10)


def test_sums_are_kept_without_their_zeros():
    class Progress:
        def keep(self, recipe, step, make):
            self.kept = make()

    field, progress = LoggedField(Gradients(), progress := Progress()), progress
    for number in range(3):
        field.gradient(np.full(Gradients.size, float(number), np.float32))
    assert field._bytes < 1000
    assert progress.kept.arrays["values"].tolist() == [[1.0]] * 3


@pytest.mark.parametrize("outputs", [1, 3])
def test_ranges_are_carried_as_places_are(outputs):
    random = np.random.default_rng(0)
    old = [((0, 4), (10, 13)), ((4, 10),), ((13, 20),)]
    new = [((0, 6),), ((6, 12), (15, 20)), ((12, 15),)]
    values = random.normal(size=(20, outputs))
    common = random.normal(size=outputs)

    def vector(ranges):
        return np.append(np.concatenate([values[a:z].ravel() for a, z in ranges]), common)

    sources = [(Held(ranges), vector(ranges)) for ranges in old]
    for ranges in new:
        np.testing.assert_array_equal(carried(sources, Held(ranges), outputs), vector(ranges))
        places = Held(ranges, np.arange(sum(z - a for a, z in ranges)))
        np.testing.assert_array_equal(carried(sources, places, outputs), vector(ranges))


def test_a_crew_outlasts_a_checkpoint_that_takes_long(tmp_path, monkeypatch):
    original, slept = folder.Folder.write_part, []

    def write(self, *arguments):
        if len(slept) < 2:
            slept.append(True)
            time.sleep(4.0)
        return original(self, *arguments)

    monkeypatch.setattr(folder.Folder, "write_part", write)
    model = SGDClassifier(
        **STEPS | {"max_iter": 40}, mode=Async(), n_workers=2, deadline=1.0, checkpoint=every(tmp_path / "fit", 100)
    )
    assert model.fit(TABLE, "y").n_iter_ == 40
    assert slept


@pytest.fixture(scope="module")
def kinds():
    """Data and parameters of fits that have state of their own: what they are given, and the estimator's parameters."""
    random = np.random.default_rng(2)
    X = random.normal(size=(1500, 4))
    score = X @ [1.0, -2.0, 0.5, 1.0] + random.normal(size=1500)
    weight, classes = random.uniform(0.2, 2.0, 1500), np.digitize(score, [-1, 1])
    steps = {"optimizer": "adagrad", "batch_size": 32, "max_iter": 8, "tol": None, "random_state": 3}
    validation = {"early_stopping": True, "tol": 1e-4}
    held_out = {"validation": (X[:300], (score > 0).astype(int)[:300])}
    return {
        "regression": (SGDRegressor, steps, X, 5 + 3 * score, {}),
        "regression by rounds": (
            SGDRegressor,
            {"max_iter": 30, "tol": 1e-9, "random_state": 3, "loss": "huber"},
            X,
            score,
            {},
        ),
        "weighted": (SGDClassifier, steps, X, score > 0, {"sample_weight": weight}),
        "validated": (SGDClassifier, steps | validation, X, (score > 0).astype(int), held_out),
        "validated, averaged": (
            SGDClassifier,
            steps | validation | {"average": True},
            X,
            (score > 0).astype(int),
            held_out,
        ),
        "float64": (SGDClassifier, steps | {"dtype": "float64"}, X, score > 0, {}),
        "three classes": (SGDClassifier, steps | {"average": True}, X, classes, {}),
        "three lines": (SGDClassifier, steps | {"family": "ovr"}, X, classes, {}),
        "given weights": (
            SGDClassifier,
            steps,
            X,
            score > 0,
            {"coef_init": np.ones((1, 4)), "intercept_init": np.ones(1)},
        ),
        "top k": (SGDClassifier, steps | {"mode": Sync(compression="topk")}, X, score > 0, {}),
        "fp16": (SGDClassifier, steps | {"mode": Sync(compression="fp16", local_steps=4)}, X, score > 0, {}),
        "adam in columns": (SGDClassifier, steps | {"mode": Columns(), "optimizer": "adam"}, X, score > 0, {}),
        "classes in a grid": (SGDClassifier, steps | {"mode": Hybrid(2, 2), "n_workers": 4}, X, classes, {}),
    }


KINDS = [
    "regression", "regression by rounds", "weighted", "validated", "validated, averaged", "float64", "three classes",
    "three lines", "given weights", "top k", "fp16", "adam in columns", "classes in a grid",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_fits_of_all_kinds_go_on_to_the_same_bits(kind, kinds, tmp_path, monkeypatch):
    estimator, parameters, X, y, given = kinds[kind]
    steps = 1 if "rounds" in kind else 25

    def fit(place):
        return estimator(**{"n_workers": 2} | parameters, checkpoint=every(tmp_path / place, steps)).fit(X, y, **given)

    whole = fit("whole")
    interrupted(monkeypatch, lambda: fit("fit"))
    again = fit("fit")
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert again.n_iter_ == whole.n_iter_


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        (Async(staleness=0), {}),
        (Async(staleness=0, shards=2), {"optimizer": "adam"}),
        (Sync(backup_workers=1), {"n_workers": 3}),
        (Async(), {"threads_per_worker": 2}),
        (Async(staleness=2), {"average": False, "early_stopping": True}),
    ],
    ids=["bulk", "bulk, adam", "backup", "threads", "bounded"],
)
def test_crews_of_all_kinds_go_on(mode, more, tmp_path, monkeypatch):
    records = []

    def fit(**shown):
        parameters = STEPS | {"n_workers": 2} | more | shown
        return SGDClassifier(**parameters, mode=mode, checkpoint=every(tmp_path / "fit", 40)).fit(TABLE, "y")

    interrupted(monkeypatch, fit)
    again = fit(verbose=lambda record: records.append(record["epoch"]))
    assert again.n_iter_ == 12
    assert records[0] > 1
    assert again.score(TABLE, TABLE["y"].to_numpy()) > 0.8
    assert not (tmp_path / "fit").exists()


def test_a_grid_has_no_fewer_ranks():
    with pytest.raises(ConfigError, match="a grid"):
        refuse_least(2, 4, grid=True)
    refuse_least(2, 4)


def test_the_command_line_takes_no_interval_of_nothing(tmp_path):
    command = ["fit", str(tmp_path), "--label", "y", "--out", str(tmp_path / "model"), "--checkpoint-seconds", "5"]
    pq.write_table(TABLE, tmp_path / "rows.parquet")
    found = CliRunner().invoke(cli.main, command)
    assert found.exit_code == 2
    assert "there is no --checkpoint" in found.output


def test_a_uri_is_as_good_as_a_path(tmp_path, monkeypatch, caplog):
    def fit():
        return SGDClassifier(**STEPS, n_workers=2, checkpoint=every(f"{tmp_path.as_uri()}/fit")).fit(TABLE, "y")

    interrupted(monkeypatch, fit)
    assert list((tmp_path / "fit").glob("checkpoint-*/header.json"))
    with caplog.at_level("INFO", "dsgd"):
        assert fit().n_iter_ == 12
    assert "goes on after step" in caplog.text
    assert not (tmp_path / "fit").exists()
