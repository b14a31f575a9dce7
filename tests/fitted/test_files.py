"""Saved models: what is loaded is what was saved; what is damaged, foreign or half there is refused by name."""

import json
import pickle

import numpy as np
import pytest

from dsgd import CheckpointError, ConfigError, load
from dsgd.data.spec import Categorical, FeatureSpec, Interaction, Vector
from dsgd.fitted import LinearModel, weights
from dsgd.fitted.files import read_beside, save

SPEC = FeatureSpec(
    ("x", "y"),
    (Categorical("city", 6), Categorical("job", values=("cook", "clerk"))),
    (Vector("v", 3), Vector("s", 4, sparse=True)),
    (Interaction(("city", "job"), 5),),
    "mean",
    (0.5, 1.5, 0.0, 0.0, 0.0),
)
CLASSES = {
    "int": np.array([-3, 5]),
    "float": np.array([0.1, 2.5]),
    "bool": np.array([False, True]),
    "string": np.array(["Ähre", "yes"]),
    "regression": None,
}


def model_of(classes=CLASSES["int"], k=1, dtype=np.float32, zeros=0.0, loss="log_loss"):
    rng = np.random.default_rng(0)
    coef = rng.normal(size=(k, SPEC.layout.size)).astype(dtype)
    coef[rng.random(coef.shape) < zeros] = 0
    history = ({"epoch": 1, "objective": np.float32(0.5), "seconds": 0.1, "validation": float("nan")},)
    outputs = "single" if k == 1 else "ovr"
    return LinearModel(coef, coef[:, 0], classes, SPEC, loss, {}, outputs, 1, 12, history, True)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(tmp_path, kind, dtype):
    loss = "squared_error" if kind == "regression" else "log_loss"
    model = model_of(CLASSES[kind], dtype=dtype, loss=loss)
    model.save(tmp_path / "model")
    loaded = load(str(tmp_path / "model"))
    assert loaded.coef.dtype == loaded.intercept.dtype == dtype
    np.testing.assert_array_equal(loaded.coef, model.coef)
    np.testing.assert_array_equal(loaded.intercept, model.intercept)
    assert (loaded.spec, loaded.loss, loaded.epochs, loaded.steps) == (SPEC, loss, 1, 12)
    assert loaded.converged
    assert loaded.history[0] == {"epoch": 1, "objective": 0.5, "seconds": 0.1, "validation": None}
    if kind != "regression":
        assert loaded.classes.dtype.kind == model.classes.dtype.kind
        np.testing.assert_array_equal(loaded.classes, model.classes)


@pytest.mark.parametrize("zeros", [0.0, 0.99, 1.0])
@pytest.mark.parametrize("shard", [1 << 20, 8])
def test_weights_whole_and_sparse_in_one_file_and_in_many(zeros, shard):
    coef = model_of(k=3, zeros=zeros).coef
    files = weights.encode(coef, coef[:, 0], shard)
    assert (len(files) > 1) == (shard == 8 and zeros < 1)
    back, intercept = weights.decode(files, coef.shape, "float32", "here")
    np.testing.assert_array_equal(back, coef)
    np.testing.assert_array_equal(intercept, coef[:, 0])


def test_mostly_zeros_are_not_stored():
    coef = np.zeros((1, 100_000), np.float32)
    coef[0, 7] = 1
    assert sum(map(len, weights.encode(coef, coef[:, 0]).values())) < 1000


def test_through_a_uri_and_with_files_beside(tmp_path):
    uri = (tmp_path / "model").as_uri()
    save(model_of(), uri, beside={"note.txt": b"hello", "more/note.txt": b"there"})
    np.testing.assert_array_equal(load(uri).coef, model_of().coef)
    assert read_beside(uri, "note.txt") == b"hello"
    assert read_beside(uri, "more/note.txt") == b"there"
    assert read_beside(uri, "other.txt") is None


def test_nothing_is_replaced_unasked_and_nothing_is_left_over(tmp_path):
    model_of().save(tmp_path / "model")
    with pytest.raises(ConfigError, match="exists already"):
        model_of(k=2).save(tmp_path / "model")
    model_of(k=2).save(tmp_path / "model", overwrite=True)
    assert len(load(tmp_path / "model").intercept) == 2
    (tmp_path / "home").mkdir()
    with pytest.raises(ConfigError, match="not a saved model"):
        model_of().save(tmp_path / "home", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "model"]


def test_a_save_that_fails_leaves_the_old_model(tmp_path, monkeypatch):
    model_of().save(tmp_path / "model")
    monkeypatch.setattr("dsgd.fitted.place.Place.write", failing)
    with pytest.raises(OSError, match="disk full"):
        model_of(k=2).save(tmp_path / "model", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert len(load(tmp_path / "model").intercept) == 1


def failing(self, directory, files):
    self.filesystem.create_dir(directory)
    raise OSError("disk full")


def edit(path, **changes):
    header = json.loads((path / "model.json").read_text())
    header |= changes
    (path / "model.json").write_text(json.dumps(header))


def cut(path):
    content = (path / "weights.safetensors").read_bytes()
    (path / "weights.safetensors").write_bytes(content[:-10])


DAMAGE = {
    "absent": (lambda p: (p / "model.json").unlink(), "no saved model at .*: model.json is missing"),
    "no weights": (lambda p: (p / "weights.safetensors").unlink(), "weights.safetensors is missing"),
    "cut": (cut, "weights.safetensors is damaged"),
    "not JSON": (lambda p: (p / "model.json").write_text("{"), "it is not JSON"),
    "foreign": (lambda p: (p / "model.json").write_text('{"a": 1}'), "not of a model of dsgd"),
    "newer": (lambda p: edit(p, format_version=99), "format_version 99"),
    "kind": (lambda p: edit(p, kind="forest"), "kind 'forest'"),
    "spec": (lambda p: edit(p, spec={"numeric": ["x"]}), "model.json is damaged: KeyError"),
    "loss": (lambda p: edit(p, loss="nope"), "loss must be one of"),
    "shape": (
        lambda p: edit(p, weights={"files": ["weights.safetensors"], "shape": [1, 5], "dtype": "float32"}),
        r"model.json is damaged: .*shape \(1, 5\)",
    ),
    "more weights than any memory holds": (
        lambda p: edit(p, weights={"files": ["weights.safetensors"], "shape": [1, 10**15], "dtype": "float32"}),
        r"model.json is damaged: .*shape \(1, 1000000000000000\)",
    ),
    "more classes than scores": (
        lambda p: edit(p, outputs="softmax", classes={"type": "int", "values": [1, 2, 3]}),
        r"model.json is damaged: .*need \(3, ",
    ),
    "dtype": (
        lambda p: edit(
            p, weights={"files": ["weights.safetensors"], "shape": [1, SPEC.layout.size], "dtype": "float64"}
        ),
        "values are of dtype float32",
    ),
    "outside": (
        lambda p: edit(p, weights={"files": ["../x"], "shape": [1, SPEC.layout.size], "dtype": "float32"}),
        "not the name of a file",
    ),
    "no files": (
        lambda p: edit(p, weights={"files": [], "shape": [1, SPEC.layout.size], "dtype": "float32"}),
        "not whole",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(tmp_path, damage):
    model_of().save(tmp_path / "model")
    spoil, message = DAMAGE[damage]
    spoil(tmp_path / "model")
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "model")


def test_weights_that_are_not_finite(tmp_path):
    model = model_of()
    model.coef[0, 3] = np.nan
    model.save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="some of its values are not finite"):
        load(tmp_path / "model")


def test_no_such_filesystem():
    with pytest.raises(ConfigError, match="no filesystem for 'gopher://x/y'"):
        load("gopher://x/y")


def test_a_model_pickles():
    model = model_of()
    model._params  # noqa: B018 - what is cached does not travel
    assert "_params" not in pickle.loads(pickle.dumps(model)).__dict__
