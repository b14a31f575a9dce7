"""Who calls a fit: an event loop, several threads, several clients, tasks of Dask's, scikit-learn's searches."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest

pytest.importorskip("distributed")

import dask.array as da
import distributed
from distributed import Client
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import dask_ext
import dsgd
from dsgd import ConfigError

rng = np.random.default_rng(5)
X = rng.normal(size=(400, 4))
Y = (X @ [2.0, -1.0, 0.5, 0.0] + rng.logistic(size=400) > 0).astype(np.int64)
PARAMETERS = {"random_state": 0, "tol": 1e-6}
ENDLESS = {"max_iter": 10**7, "tol": None, "optimizer": "adagrad"}


def collections():
    return da.from_array(X, chunks=(100, 4)), da.from_array(Y, chunks=100)


@pytest.fixture(scope="module")
def coef(dask_client):
    """Of the fit that all callers make."""
    return dask_ext.SGDClassifier(**PARAMETERS).fit(*collections()).coef_


def close(found, wanted):
    """Which rows a rank has depends on where Dask has put them; where the fit ends does not."""
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def in_a_loop(dask_client, body, seconds=120.0):
    """Run ``body(client)`` in an event loop of its own, with an asynchronous client."""

    async def main():
        address = dask_client.scheduler.address
        async with Client(address, asynchronous=True, set_as_default=False) as client:
            with client.as_current():
                return await asyncio.wait_for(body(client), seconds)

    return asyncio.run(main())


def ranks_at_work(dask_client):
    """Ranks of this module's estimators that the workers run now."""
    executing = dask_client.run(lambda dask_worker: [str(ts.key) for ts in dask_worker.state.executing])
    return [key for keys in executing.values() for key in keys if key.startswith("dsgd-rank-SGD")]


def until(condition, seconds=30.0):
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.05)
    return condition()


def test_fits_and_scores_are_awaited(dask_client, coef):
    async def body(client):
        chunked, labels = client.persist(list(collections()))  # They live in the futures of this client.
        model = dask_ext.SGDClassifier(**PARAMETERS)
        assert await model.fit(chunked, labels) is model
        scores = [await model.score(chunked, labels), (await model.evaluate(chunked, labels))["accuracy"]]
        scores += [await model.score(X, Y), (await client.compute(model.predict(chunked)) == Y).mean()]
        parts = await dask_ext.SGDClassifier(**PARAMETERS).partial_fit(chunked, labels, classes=[0, 1])
        both = [dask_ext.SGDClassifier(**PARAMETERS).fit(chunked, labels) for _ in range(2)]
        with pytest.raises(dsgd.DataError, match="one value a row"):
            await model.fit(chunked, labels[:7])
        return model, scores, parts, await asyncio.gather(*both)

    model, scores, parts, both = in_a_loop(dask_client, body)
    close(model.coef_, coef)
    assert scores == pytest.approx([scores[0]] * 4)
    assert parts.n_iter_ == 1
    for other in both:
        close(other.coef_, coef)


def test_a_fit_that_is_cancelled_ends(dask_client, coef):
    async def body(client):
        task = asyncio.ensure_future(dask_ext.SGDClassifier(**ENDLESS).fit(X, Y))
        while not await asyncio.to_thread(ranks_at_work, dask_client):
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        model = await dask_ext.SGDClassifier(**PARAMETERS).fit(*collections())  # The workers are free again.
        return model.coef_

    close(in_a_loop(dask_client, body), coef)
    assert until(lambda: not ranks_at_work(dask_client))


def test_threads_and_clients_take_turns(dask_client, coef):
    with Client(dask_client.scheduler.address, set_as_default=False) as other:

        def body(client):
            with client.as_current():
                return dask_ext.SGDClassifier(**PARAMETERS).fit(*collections()).coef_

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(body, [dask_client, other] * 2))
    for each in found:
        close(each, coef)


def fit_in_task(how):
    """A task that fits on the cluster that it runs on."""
    model = dask_ext.SGDClassifier(**PARAMETERS)
    if how == "worker_client":
        with distributed.worker_client():
            return model.fit(*collections()).coef_
    return model.fit(*collections()).coef_


def test_tasks_may_fit(dask_client, coef):
    """As many as there are threads: each leaves its slot to the gangs."""
    tasks = [dask_client.submit(fit_in_task, how, pure=False) for how in ("worker_client", "default", "default")]
    for each in dask_client.gather(tasks):
        close(each, coef)


def test_a_task_fits_what_it_has_by_itself(dask_client):
    def body(X, Y):
        seen = []
        model = dask_ext.SGDClassifier(**PARAMETERS).fit(X, Y)
        alone = dsgd.SGDClassifier(**PARAMETERS, standardize=True).fit(X, Y)
        seen += [np.array_equal(model.coef_, alone.coef_), model.score(X, Y) == alone.score(X, Y)]
        return seen

    assert dask_client.submit(body, X, Y).result(timeout=60) == [True, True]


@pytest.mark.parametrize("backend", ["driver", "dask"])
def test_searches_drive_the_estimators(dask_client, backend):
    steps = ColumnTransformer([("scale", StandardScaler(), [0, 1, 2])], remainder="passthrough")
    pipeline = Pipeline([("columns", steps), ("model", dask_ext.SGDClassifier(**PARAMETERS))])
    search = GridSearchCV(pipeline, {"model__alpha": [1e-4, 100.0]}, cv=2)
    if backend == "driver":
        search.fit(X[:100], Y[:100])
    else:
        with joblib.parallel_backend("dask", client=dask_client):
            search.fit(X[:100], Y[:100])
    assert search.best_params_ == {"model__alpha": 1e-4}
    assert search.predict(X).shape == (400,)


def test_incremental_searches_find_what_they_call(dask_client):
    """The two tasks of dask-ml's Hyperband and incremental searches; the searches themselves do not run on today's Dask."""
    incremental = pytest.importorskip("dask_ml.model_selection._incremental")
    model = clone(dask_ext.SGDClassifier()).set_params(alpha=1e-4, random_state=0)
    meta = {"model_id": 0, "params": {}, "partial_fit_calls": 0}
    step = (model, meta)
    for part in (slice(0, 200), slice(200, 400)):
        step = dask_client.submit(incremental._partial_fit, step, X[part], Y[part], {"classes": [0, 1]})
    told = dask_client.submit(incremental._score, step, X, Y, check_scoring(model)).result(timeout=60)
    assert told["partial_fit_calls"] == 2
    assert told["score"] > 0.75


def test_a_closed_client_is_said(dask_client):
    client = Client(dask_client.scheduler.address, set_as_default=False)
    with client.as_current():
        client.close()
        with pytest.raises(ConfigError, match="is closed; open another"):
            dask_ext.SGDClassifier(**PARAMETERS).fit(X, Y)


def test_tasks_are_named_for_the_dashboard(dask_client):
    model = dask_ext.SGDClassifier(**PARAMETERS)
    chunked, labels = collections()

    def seen(dask_scheduler):
        return {prefix for prefix in dask_scheduler.task_prefixes if prefix.startswith("dsgd")}

    model.fit(chunked, labels)
    model.score(chunked, labels)
    model.predict(chunked).compute()
    model.predict_proba(chunked).compute()
    wanted = {"encode", "inspect", "probe", "rank", "score", "predict", "predict-proba"}
    assert {f"dsgd-{name}-SGDClassifier" for name in wanted} <= dask_client.run_on_scheduler(seen)
