"""Asynchronous training: workers push gradients to parameter shards and pull weights from them, each at its own pace.

In comes what every fit has; out comes what every fit brings. The rows are divided into lots, which workers take one after the
other (:mod:`.ledger`), so that a slow worker does fewer and a lost one's are done by others. The lead (:mod:`.lead`), which is
in the process of the first parameter shard, decides what there is to do, workers (:mod:`.worker`) do it, and :mod:`.start` is
what all of them agree on.
"""
