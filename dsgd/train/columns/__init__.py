"""Model-parallel training: a grid of ranks, in which a row of ranks shares out the columns, and a column of ranks the rows.

Scores are summed along a row of the grid, gradients down a column. One row is column blocks alone (``Columns``), one column is
ordinary synchronous training.
"""
