"""The application's executors as an engine: sessions, slots, gangs, rounds, the way of the rows and of reports.

Nothing here knows an estimator or a Param.
"""
