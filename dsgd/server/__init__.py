"""Parameter servers: shards of the weights as state machines without I/O, and the hosts and clients that bring messages to them.

Li et al., "Scaling distributed machine learning with the parameter server" (OSDI 2014): each shard owns a range of the weights
and their update rule, workers push gradients and pull weights. What a shard does is in :mod:`.shard`, when it lets a worker go
on in :mod:`.policy`, its arithmetic in :mod:`.weights`; :mod:`.service` and :mod:`.client` carry the messages of :mod:`.wire`.
"""
