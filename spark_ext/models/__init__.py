"""Fitted models as transformers: predictions by the JVM or by Python, summaries, thresholds, and how they are saved."""
