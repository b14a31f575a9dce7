"""A sweep: many configurations of one problem trained over one reading of the data, scored on rows they have not seen.

A lane is one configuration trained on one part of the rows. Each runs the recipe of a fit of its own
(:mod:`dsgd.train.sweep.lane`); they take turns (:mod:`dsgd.train.sweep.turns`), and where all of them want sums over all rows,
one pass makes the sums for all of them (:mod:`dsgd.train.sweep.passes`).
"""
