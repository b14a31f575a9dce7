"""Models that their ranks save: the same as saved by the driver; what is not whole, foreign or damaged is refused by name."""

import json
import pickle
import shutil

import numpy as np
import pytest

import dsgd
from dsgd import CheckpointError, ConfigError
from dsgd.fitted.files import opened, sharded_header
from dsgd.fitted.shards.saving import Saving
from dsgd.fitted.shards.stored import StoredModel, all_but_weights
from dsgd.fitted.shards.writing import ShardWriter

from ..conformance.test_modes import data

OPTIONS = {"optimizer": "adagrad", "random_state": 0, "max_iter": 2, "tol": None, "standardize": True}


def fitted(kind, mode, workers=3, **options):
    return dsgd.SGDClassifier(mode=mode, n_workers=workers, **OPTIONS | options).fit(*data(kind))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """By kind of data: the directory that three ranks have written, their model, and the one that came to the driver."""
    folder = tmp_path_factory.mktemp("shards")
    return {
        kind: (folder / kind, fitted(kind, dsgd.Columns(save_to=folder / kind)), fitted(kind, dsgd.Columns()))
        for kind in ("dense", "sparse", "multi")
    }


@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
def test_the_same_bits_as_from_the_driver(saved, kind):
    folder, here, there = saved[kind]
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    assert len(list(folder.glob("*.safetensors"))) == 3
    loaded = dsgd.SGDClassifier.load(folder)
    assert not isinstance(loaded.model_, StoredModel)
    for model in (loaded, here):
        assert model.coef_.dtype == there.coef_.dtype
        np.testing.assert_array_equal(model.coef_, there.coef_)
        np.testing.assert_array_equal(model.intercept_, there.intercept_)
        np.testing.assert_array_equal(model.classes_, there.classes_)
    assert here.history_[-1]["objective"] == there.history_[-1]["objective"]
    assert here.t_ == there.t_
    np.testing.assert_array_equal(here.predict(data(kind)[0]), there.predict(data(kind)[0]))


def test_weights_are_read_when_they_are_asked_for(tmp_path):
    here = fitted("dense", dsgd.Hybrid(2, 2, save_to=(tmp_path / "m").as_uri()), workers=4)
    assert "coef" not in vars(here.model_)
    assert "10 weights" in repr(here.model_)
    assert "coef" not in vars(here.model_)
    travelled = pickle.loads(pickle.dumps(here))
    assert travelled.coef_.shape == (1, 10)
    assert "coef" not in vars(pickle.loads(pickle.dumps(travelled)).model_)
    shutil.rmtree(tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"is not whole: weights-.* is missing"):
        _ = here.coef_


def test_a_part_of_the_weights(saved, tmp_path):
    for kind in saved:
        folder, _, there = saved[kind]
        model, k, d = opened(folder), *there.coef_.shape
        for ranges in ([(0, d)], [(d - 2, d), (0, 1)], [(d // 3 - 1, d // 2)], []):
            at = np.concatenate([np.arange(0), *(np.arange(*each) for each in ranges)]).astype(int)
            found = model.weights_at(ranges)
            assert found.shape == (len(at), k)
            np.testing.assert_array_equal(found, there.coef_.T[at])


def test_saved_again_elsewhere_and_over_itself(saved, tmp_path):
    folder, _, there = saved["multi"]
    model = opened(folder)
    model.save(tmp_path / "copy")
    assert "coef" not in vars(model)
    copy = opened(tmp_path / "copy")
    copy.save((tmp_path / "copy").as_uri(), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    np.testing.assert_array_equal(dsgd.load(tmp_path / "copy").coef, there.coef_)


@pytest.mark.parametrize("options", [{"missing": "mean"}, {"hash_bits": 16}])
def test_columns_of_a_frame(tmp_path, options):
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=500), "c": rng.choice(list("uvw"), 500), "b": rng.normal(3, 1, 500)})
    frame["d"] = rng.integers(0, 90, 500).astype(str)
    if "missing" in options:
        frame.loc[::7, "b"] = np.nan
    y = frame.a > 0
    here, there = (
        dsgd.SGDClassifier(mode=mode, n_workers=3, **OPTIONS | {"hash_bits": 6} | options).fit(frame, y)
        for mode in (dsgd.Columns(save_to=tmp_path / "m"), dsgd.Columns())
    )
    loaded = dsgd.load(tmp_path / "m")
    assert loaded.spec == there.model_.spec == here.model_.spec
    np.testing.assert_array_equal(loaded.coef, there.coef_)
    np.testing.assert_array_equal(loaded.intercept, there.intercept_)
    if options.get("hash_bits") == 16:
        assert sum(path.stat().st_size for path in (tmp_path / "m").iterdir()) < 20_000


def test_an_old_model_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    place = tmp_path / "m"
    there = fitted("dense", dsgd.Columns(save_to=place))
    with pytest.raises(ConfigError, match="exists already"):
        fitted("dense", dsgd.Columns(save_to=place))

    def failing(self, ranges, coef, positions):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "write", failing)
        with pytest.raises(dsgd.WorkerLost, match="disk full"):
            fitted("dense", dsgd.Columns(save_to=place, overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    np.testing.assert_array_equal(dsgd.load(place).coef, there.coef_)
    other = fitted("multi", dsgd.Columns(save_to=place, overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    np.testing.assert_array_equal(dsgd.load(place).coef, other.coef_)
    assert len(list(place.iterdir())) == 4


def test_a_place_that_cannot_rename_keeps_the_old_model_too(tmp_path, monkeypatch):
    """As in an object store: all is written at its place, and the header decides."""
    place = tmp_path / "m"
    there = fitted("dense", dsgd.Columns(), workers=2)
    there.model_.save(place)
    monkeypatch.setattr("dsgd.fitted.place._OBJECT_STORES", ("local",))

    def failing(self, header):
        assert len(list(place.glob("weights-*"))) == 3
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr("dsgd.fitted.shards.saving.Saving.finish", failing)
        with pytest.raises(OSError, match="gone"):
            fitted("dense", dsgd.Columns(save_to=place, overwrite=True))
    assert sorted(path.name for path in place.iterdir()) == ["model.json", "weights.safetensors"]
    np.testing.assert_array_equal(dsgd.load(place).coef, there.coef_)
    here = fitted("dense", dsgd.Columns(save_to=place, overwrite=True))
    assert len(list(place.iterdir())) == 4
    np.testing.assert_array_equal(dsgd.load(place).coef, here.coef_)


def edit(folder, change):
    header = json.loads((folder / "model.json").read_text())
    change(header["weights"])
    (folder / "model.json").write_text(json.dumps(header))


def first(folder):
    return sorted(folder.glob("*.safetensors"))[0]


def overlap(weights):
    weights["shards"][1]["ranges"][0][0] -= 1


def gap(weights):
    weights["shards"][1]["ranges"][0][0] += 1


def renamed(name):
    return lambda p: edit(p, lambda weights: weights["shards"][0].update(file=name))


def turned(folder):
    content = bytearray(first(folder).read_bytes())
    content[20] ^= 1
    first(folder).write_bytes(content)


def without_sums(weights):
    """As a model was written before there were checksums."""
    for shard in weights["shards"]:
        del shard["sha256"], shard["stretch"]


def flipped(folder):
    """One bit of a weight that stays a finite number."""
    content = bytearray(first(folder).read_bytes())
    content[-8] ^= 1
    first(folder).write_bytes(content)


def infinite(folder):
    edit(folder, without_sums)
    content = bytearray(first(folder).read_bytes())
    content[-8:] = np.float64(np.inf).tobytes()
    first(folder).write_bytes(content)


def unordered(folder):
    """The first two positions of a sparse shard, which come before its values, in turn."""
    content = first(folder).read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    turned = content[begin + 8 : begin + 16] + content[begin : begin + 8]
    first(folder).write_bytes(content[:begin] + turned + content[begin + 16 :])


DAMAGE = {
    "a shard missing": (lambda p: first(p).unlink(), "is not whole: weights-.*-00001-of-00003.safetensors is missing"),
    "a shard cut short": (
        lambda p: first(p).write_bytes(first(p).read_bytes()[:-3]),
        "has .* bytes and the header says",
    ),
    "a shard empty": (lambda p: first(p).write_bytes(b""), "has 0 bytes and the header says"),
    "a shard's header": (turned, "-00001-of-00003.safetensors is (damaged|of another model)"),
    "a long header": (
        lambda p: first(p).write_bytes(b"\xff" * first(p).stat().st_size),
        "is damaged: its header of 18446744073709551615 bytes",
    ),
    "a bit of a weight": (
        flipped,
        "-00001-of-00003.safetensors is damaged: its bytes 0 to .* are not those that were saved",
    ),
    "a checksum": (
        lambda p: edit(p, lambda w: w["shards"][0].update(sha256=["0" * 64])),
        "-00001-of-00003.safetensors is damaged: its bytes 0 to",
    ),
    "a checksum too many": (
        lambda p: edit(p, lambda w: w["shards"][0]["sha256"].append("0" * 64)),
        "has 2 checksums of 8388608 bytes each",
    ),
    "checksums of nothing": (lambda p: edit(p, lambda w: w["shards"][0].update(stretch=0)), "1 checksums of 0 bytes"),
    "a checksum of all there is": (
        lambda p: edit(p, lambda w: w["shards"][0].update(stretch=10**12)),
        "1 checksums of 1000000000000 bytes",
    ),
    "a checksum of another kind": (
        lambda p: edit(p, lambda w: w["shards"][0].update(sha256=["x" * 64])),
        "the checksums of .* are not those of SHA-256",
    ),
    "checksums that are none": (
        lambda p: edit(p, lambda w: w["shards"][0].update(sha256=7)),
        "model.json is damaged: TypeError",
    ),
    "overlapping ranges": (lambda p: edit(p, overlap), "the shards overlap at position"),
    "a gap": (lambda p: edit(p, gap), "the shards leave a gap at position"),
    "too few": (lambda p: edit(p, lambda w: w["shards"].pop()), "the shards end at position"),
    "another directory": (renamed("../weights.safetensors"), "is not the name of a file of weights beside model.json"),
    "a directory of Windows": (renamed("..\\weights.safetensors"), "is not the name of a file of weights"),
    "no file of weights": (renamed("model.json"), "is not the name of a file of weights"),
    "a number": (renamed(7), "7 is not the name of a file of weights"),
    "twice": (
        lambda p: edit(p, lambda w: w["shards"][0].update(file=w["shards"][1]["file"])),
        "a file of weights is named twice",
    ),
    "half a range": (
        lambda p: edit(p, lambda w: w["shards"][0].update(ranges=[[0]])),
        "model.json is damaged: ValueError",
    ),
    "a range of text": (lambda p: edit(p, lambda w: w["shards"][0].update(ranges=[["0", "1"]])), "is not a count"),
    "no list": (lambda p: edit(p, lambda w: w.update(shards=3)), "model.json is damaged: TypeError"),
    "no intercept": (lambda p: edit(p, lambda w: w.pop("intercept")), "model.json is damaged: KeyError"),
    "intercepts": (
        lambda p: edit(p, lambda w: w.update(intercept=[1.0, 2.0])),
        "its intercepts are not finite numbers",
    ),
    "more stored than there is": (
        lambda p: edit(p, lambda w: w["shards"][0].update(stored=10**12)),
        "holds 1000000000000 positions",
    ),
    "stored otherwise": (lambda p: edit(p, lambda w: w["shards"][0].update(stored=1)), "does not hold the arrays"),
    "dtype": (lambda p: edit(p, lambda w: w.update(dtype="object")), "dtype 'object'"),
    "not finite": (infinite, "some are not finite"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_by_name(saved, tmp_path, name):
    folder = shutil.copytree(saved["dense"][0], tmp_path / "m")
    damage, message = DAMAGE[name]
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        dsgd.load(folder)


def test_a_model_without_checksums_loads_and_is_copied(saved, tmp_path):
    folder = shutil.copytree(saved["multi"][0], tmp_path / "m")
    edit(folder, without_sums)
    opened(folder).save(tmp_path / "copy")
    assert "sha256" not in (tmp_path / "copy" / "model.json").read_text()
    np.testing.assert_array_equal(dsgd.load(tmp_path / "copy").coef, saved["multi"][2].coef_)


@pytest.mark.parametrize("share", [1.0, 0.05])
def test_every_part_is_compared_with_its_own_checksums(saved, tmp_path, monkeypatch, share):
    """With stretches of a few bytes, which end anywhere within weights and positions."""
    monkeypatch.setattr("dsgd.fitted.shards.tensors.PIECE", 44)
    rng = np.random.default_rng(0)
    d = opened(saved["sparse"][0]).shards.weights
    coef = np.where(rng.random((1, d)) < share, rng.normal(size=(1, d)), 0)
    with Saving(str(tmp_path / "m"), False) as saving:
        kept = [
            saving.keep.open(block, 2).write([ends], coef[:, slice(*ends)], None)
            for block, ends in enumerate([(0, 1501), (1501, d)])
        ]
        shards = saving.shards(kept, coef.shape, "float64")
        model = StoredModel.at(saving.place, shards, **all_but_weights(opened(saved["sparse"][0])))
        saving.finish(sharded_header(model))
    model = opened(tmp_path / "m")
    assert [part.stored is None for part in model.shards.parts] == [share == 1.0] * 2
    assert len(model.shards.parts[0].sha256) > 20
    np.testing.assert_array_equal(model.coef, coef)
    np.testing.assert_array_equal(model.weights_at([(d - 2, d), (0, 1600)]), coef.T[np.r_[d - 2 : d, 0:1600]])
    content = bytearray(first(tmp_path / "m").read_bytes())
    content[-8] ^= 1
    first(tmp_path / "m").write_bytes(content)
    np.testing.assert_array_equal(model.weights_at([(1501, d)]), coef.T[1501:])
    with pytest.raises(CheckpointError, match=r"-00001-of-00002\.safetensors is damaged: its bytes"):
        model.weights_at([(0, d)])


def test_positions_out_of_order_are_refused(tmp_path):
    y = np.arange(200) % 2
    X = np.zeros((200, 5000), np.float32)
    X[:, [3, 7, 4000]] = np.random.default_rng(0).normal(size=(200, 3)) + y[:, None]
    dsgd.SGDClassifier(mode=dsgd.Columns(save_to=tmp_path / "m"), n_workers=2, **OPTIONS).fit(X, y)
    assert opened(tmp_path / "m").shards.parts[0].stored == 2
    dsgd.load(tmp_path / "m")
    edit(tmp_path / "m", without_sums)
    unordered(tmp_path / "m")
    with pytest.raises(CheckpointError, match="its positions are not those of its ranges"):
        dsgd.load(tmp_path / "m")


def test_a_shard_of_another_model_is_refused(saved, tmp_path):
    folder = shutil.copytree(saved["dense"][0], tmp_path / "m")
    fitted("dense", dsgd.Columns(save_to=tmp_path / "other"))
    shutil.copy(first(tmp_path / "other"), first(folder))
    with pytest.raises(CheckpointError, match="is of another model"):
        dsgd.load(folder)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: dsgd.Columns(save_to=3), "save_to must be a path or a URI of a directory, not 3"),
        (lambda p: dsgd.Columns(save_to=""), "save_to must be a path or a URI"),
        (lambda p: dsgd.Hybrid(1, 2, overwrite=True), "overwrite=True is about the model at save_to"),
        (lambda p: dsgd.Columns(save_to="m", overwrite=1), "overwrite must be True or False, not 1"),
        (lambda p: fitted("dense", dsgd.Columns(save_to="nosuch://m")), "no filesystem for 'nosuch://m'"),
        (lambda p: fitted("dense", dsgd.Columns(save_to=p, overwrite=True)), "is not a saved model"),
        (lambda p: fitted("dense", dsgd.Columns(save_to=p / "file" / "m")), "nothing can be written to"),
        (
            lambda p: dsgd.SGDClassifier(mode=dsgd.Columns(save_to=p / "m"), n_workers=2, **OPTIONS).fit(
                *data("dense"), coef_init=np.ones((1, 10))
            ),
            "save_to is for fits that begin anew",
        ),
        (
            lambda p: fitted("dense", dsgd.Columns(save_to=p / "m"), warm_start=True),
            "save_to is for fits that begin anew",
        ),
        (
            lambda p: dsgd.SGDRegressor(mode=dsgd.Columns(save_to=p / "m")).partial_fit(*data("dense")),
            "save_to is for fits that begin anew",
        ),
        (
            lambda p: dsgd.SweepCV(dsgd.SGDClassifier(mode=dsgd.Columns(save_to=p / "m")), {"alpha": [1e-3, 1e-2]}).fit(
                *data("dense")
            ),
            "a search divides rows among its workers, not columns",
        ),
    ],
)
def test_what_cannot_be(tmp_path, make, told):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=told):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_place_that_ranks_do_not_reach_is_told_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("dsgd.fitted.place.Place.of", gone(tmp_path))
    with pytest.raises(ConfigError, match=r"a rank cannot write its part of the model.*that all workers reach"):
        fitted("dense", dsgd.Columns(save_to=tmp_path / "m"))
    assert list(tmp_path.iterdir()) == []


def gone(folder):
    """Places as they are to ranks on other machines: what the driver has made is not there."""
    from dsgd.fitted.place import Place

    of = Place.of

    def there(path):
        return of(str(path).replace(str(folder), str(folder / "nowhere")) if ".unfinished" in str(path) else path)

    return there
