"""Coefficients by name, and models as text and as HTML."""

import numpy as np
import pandas as pd
import pytest

import dsgd
from dsgd import ConfigError, LinearModel
from dsgd.data.spec import Categorical, FeatureSpec


@pytest.fixture
def model():
    spec = FeatureSpec(("age",), (Categorical("city", values=("Ulm",)), Categorical("<job>", bits=2)))
    coef = np.array([[1.0, 2.0, 3.0, 0.0, 0.0, -4.0, 0.0], [-0.5, 0, 0, 0, 0, 9.0, 0]])
    return LinearModel(coef, np.zeros(2), np.array(["no", "yes"]), spec, "log_loss", outputs="softmax", epochs=3)


def test_a_table_of_all(model):
    table = model.coefficient_table()
    assert table.names == ["name", "value", "label", "position", "coefficient"]
    assert [tuple(row.values()) for row in table if row["label"] == "no"] == [
        ("age", None, "no", 0, 1.0),
        ("city", "Ulm", "no", 1, 2.0),
        ("city", None, "no", 2, 3.0),
        ("<job>", None, "no", 5, -4.0),
    ]
    assert isinstance(table.to_pandas(), pd.DataFrame)
    for row in table:
        k = model.classes.tolist().index(row["label"])
        assert model.coef[k, row["position"]] == row["coefficient"]


def test_the_largest_are_those_of_the_whole_table(model):
    whole = sorted(model.coefficient_table(), key=lambda row: -abs(row["coefficient"]))
    for count in (1, 2, 5, 100):
        assert list(model.coefficient_table(largest=count)) == whole[:count]
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ConfigError, match="largest must be an integer >= 1"):
            model.coefficient_table(largest=wrong)


def test_a_model_describes_itself(model):
    assert repr(model) == (
        "<LinearModel: classification ('no', 'yes') by log_loss, 14 weights of 3 columns (age, city, <job>), 3 epochs>"
    )
    page = model._repr_html_()
    assert "&lt;job&gt;" in page
    assert "<job>" not in page
    assert "the 8 largest of 14 coefficients" in page
    assert page.count("<tr>") == 9


@pytest.mark.parametrize("frame", [True, False])
def test_an_estimator_names_its_columns(frame):
    X = pd.DataFrame({"height": [0.0, 1.0, 2.0, 4.0], "age": [1.0, 0.0, 5.0, 3.0]})
    y = 2.0 * X["height"] - 3.0 * X["age"]
    fitted = dsgd.SGDRegressor(alpha=0.0, tol=1e-10).fit(X if frame else X.to_numpy(), y.to_numpy())
    table = fitted.coefficient_table()
    assert table["name"].tolist() == (["height", "age"] if frame else ["x0", "x1"])
    np.testing.assert_allclose(table["coefficient"], [2.0, -3.0], rtol=1e-3)
    assert fitted.coefficient_table(largest=1)[0]["name"] == ("age" if frame else "x1")
    assert "objective" in repr(fitted.model_)


def test_estimators_are_diagrams_before_and_after_a_fit():
    estimator = dsgd.SGDClassifier(alpha=0.5)
    before = estimator._repr_html_()
    assert "Not fitted" in before
    after = estimator.fit([[0.0], [1.0]], [0, 1])._repr_html_()
    assert "Not fitted" not in after
    assert repr(estimator) == "SGDClassifier(alpha=0.5)"
