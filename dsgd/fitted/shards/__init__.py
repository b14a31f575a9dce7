"""A model whose weights are in shards, one of each rank that trained a block: written, read and used by ranks, part by part."""
