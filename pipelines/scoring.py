"""Scores of a dataset, batch by batch, and the metrics that they give.

In: a fitted model of any face and a dataset of Parquet files; out: arrays in the order of the rows, or named numbers.
Memory holds one batch at a time, whatever the size of the files.
"""
