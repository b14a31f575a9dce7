"""The one table from Spark's names of the parameters to the core's.

A parameter is in the table, or is used by the estimator itself, or does not exist: none is ignored.
"""

# From Spark's name to the core's, for the parameters that are handed on as they are.
CORE_NAMES = {
    "loss": "loss",
    "family": "family",
    "epsilon": "epsilon",
    "quantile": "quantile",
    "power": "power",
    "optimizer": "optimizer",
    "batchSize": "batch_size",
    "maxIter": "max_iter",
    "tol": "tol",
    "regParam": "alpha",
    "elasticNetParam": "l1_ratio",
    "stepSize": "eta0",
    "learningRate": "learning_rate",
    "powerT": "power_t",
    "standardization": "standardize",
    "fitIntercept": "fit_intercept",
    "averaging": "average",
    "earlyStopping": "early_stopping",
    "validationFraction": "validation_fraction",
    "nIterNoChange": "n_iter_no_change",
    "threadsPerWorker": "threads_per_worker",
    "cacheBytes": "cache_bytes",
    "memoryLimit": "memory_limit",
    "encrypt": "encrypt",
    "portRange": "port_range",
    "interface": "interface",
    "deadline": "deadline",
    "seed": "random_state",
}
# Those that say how the work is spread: which go together, the core says.
MODE_NAMES = {
    "topology": "topology",
    "localSteps": "local_steps",
    "compression": "compression",
    "backupWorkers": "backup_workers",
    "staleness": "staleness",
    "shards": "shards",
    "correction": "correction",
    "compensation": "compensation",
    "snapshotSeconds": "snapshot_seconds",
    "restarts": "restarts",
    "gridRows": "rows",
    "gridColumns": "columns",
    "saveTo": "save_to",
    "overwrite": "overwrite",
}
# Spark ML's spellings of losses that the core spells otherwise.
CORE_LOSSES = {"squaredError": "squared_error"}
# From the core's names to Spark's, in which errors are told: of those above that differ, and of what the face itself translates.
SPARK_NAMES = {core: name for name, core in (CORE_NAMES | MODE_NAMES).items() if core != name} | {
    "n_workers": "numWorkers",
    "min_workers": "minWorkers",
    "checkpoint": "checkpointPath",
    "hash_bits": "hashBits",
}
