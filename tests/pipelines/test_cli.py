"""The command line from a fit to predictions, and what it says when something is wrong."""

import errno
import json
import shutil
import socket

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dsgd.losses import LOSSES
from dsgd.optim.schedules import SCHEDULES
from dsgd.train.values import OPTIMIZERS
from pipelines.cli import COMMANDS, main
from pipelines.commands import fit as fit_command

COLUMNS = ("--numeric", "spend,age", "--categorical", "city", "--hash-bits", "8")
FIT = ("--label", "left", *COLUMNS, "--standardize", "--epochs", "20", "--seed", "1")


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def succeed(*words):
    done = run(*words)
    assert done.exit_code == 0, done.stderr
    return done


def fail(*words, status=2):
    """Run a command that must fail, and return its one line of error."""
    done = run(*words)
    assert done.exit_code == status, (done.exit_code, done.output)
    assert done.stdout == ""
    line = done.stderr.strip()
    assert "\n" not in line
    assert "Traceback" not in line
    return line


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "left"
    done = succeed("fit", data, *FIT, "--filter", "month < 4", "--out", path)
    assert done.output == ""
    return path


def test_the_model_is_a_good_one(data, model):
    found = json.loads(succeed("evaluate", model, data, "--filter", "month == 4", "--json").stdout)
    assert found["auc"] > 0.85
    assert found["log_loss"] < 0.5
    table = succeed("evaluate", model, data, "--filter", "month == 4").stdout
    assert "auc" in table
    assert f"{found['auc']:.6g}" in table


def test_predictions(data, model, tmp_path):
    out = tmp_path / "p.parquet"
    assert succeed("predict", model, data, "--filter", "month == 4", "--keep", "id,left", "--out", out).output == ""
    table = pq.read_table(out)
    truth = pq.read_table(data, filters=[("month", "==", 4)])
    assert table.column_names == ["id", "left", "prediction", "probability_no", "probability_yes"]
    assert table["id"].to_pylist() == truth["id"].to_pylist()
    yes = table["probability_yes"].to_numpy()
    np.testing.assert_allclose(yes + table["probability_no"].to_numpy(), 1, rtol=1e-5)
    np.testing.assert_array_equal(np.where(yes > 0.5, "yes", "no"), table["prediction"].to_numpy(zero_copy_only=False))
    assert (
        np.mean(table["prediction"].to_numpy(zero_copy_only=False) == table["left"].to_numpy(zero_copy_only=False))
        > 0.75
    )


def test_predictions_alone(data, model, tmp_path):
    out = tmp_path / "p.parquet"
    succeed("predict", model, data, "--out", out)
    table = pq.read_table(out)
    assert table.num_rows == pq.read_table(data).num_rows
    assert table.column_names[0] == "prediction"


def test_predictions_of_no_rows(data, model, tmp_path):
    out = tmp_path / "p.parquet"
    succeed("predict", model, data, "--filter", "spend > 1e9", "--keep", "id", "--out", out)
    table = pq.read_table(out)
    assert (table.num_rows, table.column_names[0]) == (0, "id")


def test_inspect(data, model):
    found = json.loads(succeed("inspect", model, "--top", "3", "--data", data, "--json").stdout)
    assert found["task"] == "classification"
    assert found["classes"] == ["no", "yes"]
    assert [column["name"] for column in found["columns"]] == ["spend", "age", "city"]
    assert found["strongest"][0]["column"] == "spend"
    assert {weight["value"] for weight in found["strongest"] if weight["column"] == "city"} <= {"Ulm", "Bonn", "Kiel"}
    assert any(weight["column"] == "city" for weight in found["strongest"])
    text = succeed("inspect", model).stdout
    assert "spend" in text
    assert "numeric" in text


def test_a_regression(data, tmp_path):
    out = tmp_path / "amount"
    succeed("fit", data, "--label", "amount", "--task", "regression", "--numeric", "spend", "--categorical", "city",
            "--loss", "squared_error", "--seed", "0", "--out", out)  # fmt: skip
    found = json.loads(succeed("evaluate", out, data, "--json").stdout)
    assert found["r2"] > 0.99
    succeed("predict", out, data, "--out", tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet").column_names == ["prediction"]


def test_interactions_and_modes(data, tmp_path):
    out = tmp_path / "crossed"
    succeed("fit", data, "--label", "left", "--numeric", "spend", "--categorical", "city,month", "--interaction",
            "city:month", "--hash-bits", "6", "--workers", "2", "--topology", "tree", "--local-steps", "epoch",
            "--penalty", "none", "--epochs", "3", "--out", out)  # fmt: skip
    found = json.loads(succeed("inspect", out, "--json").stdout)
    assert found["columns"][-1]["name"] == "city x month"


def test_parameter_shards(data, tmp_path):
    words = ("--mode", "async", "--staleness", "2", "--shards", "2", "--correction", "rate", "--workers", "2")
    succeed("fit", data, *FIT, "--optimizer", "adagrad", *words, "--out", tmp_path / "model")
    found = json.loads(succeed("evaluate", tmp_path / "model", data, "--json").stdout)
    assert found["auc"] > 0.8
    line = fail("fit", data, *FIT, "--staleness", "2", "--out", tmp_path / "other")
    assert "--staleness must be left out with --mode='sync'; it goes with --mode='async'" in line
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("words", [("--validation", "month=4"), ("--validation-filter", "month == 4")])
def test_a_validation_set_stops_the_fit_and_the_best_epoch_is_saved(data, tmp_path, words):
    out = tmp_path / "validated"
    option, value = words
    place = f"{data}/{value}" if option == "--validation" else value
    rule = ("--optimizer", "adagrad", "--eta0", "1", "--epochs", "200", "--alpha", "0")
    succeed("fit", data, *FIT, *rule, "--filter", "month < 4", option, place, "--out", out)
    losses = [epoch["validation"] for epoch in json.loads((out / "model.json").read_text())["fit"]["history"]]
    found = json.loads(succeed("evaluate", out, data, "--filter", "month == 4", "--json").stdout)
    assert len(losses) < 200
    assert min(losses) == pytest.approx(found["log_loss"], rel=1e-4)


def test_validation_rows_have_filters_of_their_own(data, tmp_path):
    words = ("--filter", "month < 4", "--validation", data, "--validation-filter", "month == 4", "--epochs", "2")
    succeed("fit", data, *FIT, *words, "--out", tmp_path / "m")
    message = fail("fit", data, *FIT, "--validation-filter", "month == 99", "--out", tmp_path / "n")
    assert "no validation rows" in message
    assert not (tmp_path / "n").exists()


def test_limits_in_words(data, tmp_path):
    out = tmp_path / "small"
    succeed("fit", data, *FIT, "--early-stopping", "--memory-limit", "2GB", "--cache-bytes", "100MB", "--out", out)
    assert json.loads((out / "model.json").read_text())["fit"]["history"][0]["validation"] > 0
    assert "--memory-limit must be" in fail("fit", data, *FIT, "--memory-limit", "0", "--out", tmp_path / "n")


@pytest.mark.parametrize("words", [(), ("--help",), *((name, "--help") for name in COMMANDS)])
def test_help(words):
    done = run(*words)
    assert done.exit_code in (0, 2 if words == () else 0)
    assert "Usage:" in done.output


def test_the_choices_are_those_of_the_core():
    assert set(fit_command.LOSSES) == set(LOSSES)
    assert set(fit_command.OPTIMIZERS) == set(OPTIMIZERS)
    assert set(fit_command.SCHEDULES) == set(SCHEDULES)


def test_an_existing_model_is_kept(data, model, tmp_path):
    before = (model / "model.json").read_bytes()
    assert "--force" in fail("fit", data, *FIT, "--out", model)
    assert (model / "model.json").read_bytes() == before
    out = tmp_path / "again"
    for words in ((), ("--force",)):
        succeed("fit", data, *FIT, "--epochs", "1", "--out", out, *words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--label", "nothing", *COLUMNS), "nothing"),
        (("--label", "left", "--numeric", "city"), "city"),
        (("--label", "left", *COLUMNS, "--filter", "nowhere < 3"), "nowhere"),
        (("--label", "left", *COLUMNS, "--filter", "month > 12"), "no rows"),
        (("--label", "left", *COLUMNS, "--loss", "poisson"), "poisson"),
        (("--label", "age", "--numeric", "spend", "--categorical", "city"), "class"),
        (("--label", "left", *COLUMNS, "--alpha", "-1"), "--alpha must be"),
        (("--label", "left", *COLUMNS, "--tol", "nan"), "--tol must be"),
        (("--label", "left", *COLUMNS, "--deadline", "0"), "--deadline must be"),
        (("--label", "left", *COLUMNS, "--port-range", "9-1"), "--port-range must be"),
        (("--label", "left", *COLUMNS, "--topology", "engine", "--local-steps", "3"), "--local-steps must be 1"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words, told, data, tmp_path):
    assert told in fail("fit", data, *words, "--out", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_parquet(tmp_path):
    (tmp_path / "a.parquet").write_text("no")
    assert "a.parquet" in fail("fit", tmp_path / "a.parquet", "--label", "y", "--out", tmp_path / "out")
    assert "nowhere" in fail("fit", tmp_path / "nowhere", "--label", "y", "--out", tmp_path / "out")


def test_a_model_that_is_not_there(data, tmp_path):
    for words in (
        ("evaluate", tmp_path, data),
        ("inspect", tmp_path),
        ("predict", tmp_path, data, "--out", tmp_path / "p"),
    ):
        assert "model" in fail(*words)


def test_a_column_to_keep_that_is_not_there(data, model, tmp_path):
    assert "nothing" in fail("predict", model, data, "--keep", "nothing", "--out", tmp_path / "p.parquet")
    assert list(tmp_path.iterdir()) == []


def test_evaluating_a_model_from_python(data, model, tmp_path):
    (plain := tmp_path / "plain").mkdir()
    for name in ("model.json", "weights.safetensors"):
        (plain / name).write_bytes((model / name).read_bytes())
    assert "--label" in fail("evaluate", plain, data)
    succeed("evaluate", plain, data, "--label", "left")


def test_an_address_of_another_engine(data, tmp_path):
    done = run("fit", data, *FIT, "--spark-master", "local[1]", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "--engine spark" in done.stderr


def test_what_was_remembered_may_be_damaged(data, model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    for damage in ("{", "[1]", '{"label": 3}', "\xff"):
        (copy / "job.json").write_bytes(damage.encode("latin-1"))
        assert "job.json is damaged" in fail("evaluate", copy, data)


def test_a_place_that_cannot_be_written_is_told_before_the_fit(data, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.faces.train", lambda *arguments: pytest.fail("it was trained"))
    (tmp_path / "file").write_text("")
    assert "not a directory" in fail("fit", data, *FIT, "--out", tmp_path / "file" / "model")
    assert "exists already" in fail("fit", data, *FIT, "--out", tmp_path.as_uri())


def test_a_failure_of_the_system_is_told_in_one_line(data, model, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "out"))

    monkeypatch.setattr("dsgd.fitted.place.Place.write", full)
    assert "No space left on device" in fail("fit", data, *FIT, "--epochs", "1", "--out", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_model_at_a_uri_remembers_its_columns(data, tmp_path):
    uri = (tmp_path / "model").as_uri()
    succeed("fit", data, *FIT, "--epochs", "1", "--out", uri)
    assert json.loads(succeed("evaluate", uri, data, "--json").stdout)["auc"] > 0.5


def test_ports_interface_and_deadline(data, tmp_path):
    words = ("--workers", "2", "--interface", "127.0.0.1", "--deadline", "30", "--epochs", "1")
    succeed("fit", data, *FIT, *words, "--port-range", "20000-60000", "--out", tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        line = fail("fit", data, *FIT, *words, "--port-range", f"{port}-{port}", "--out", tmp_path / "other")
    assert "widen --port-range" in line


def test_a_fault_of_ours_is_told_as_one(monkeypatch, model):
    monkeypatch.setattr("dsgd.fitted.load", lambda path: 1 / 0)
    assert "ZeroDivisionError" in fail("inspect", model, status=1)
    done = run("inspect", model, "--debug")
    assert isinstance(done.exception, ZeroDivisionError)
