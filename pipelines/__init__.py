"""Ready jobs on top of dsgd, dask_ext and spark_ext: the command line and the demo. The engines are imported lazily."""
