"""The demo: one real dataset, every engine, one table, one report. Run it with ``python -m pipelines.demo``."""
