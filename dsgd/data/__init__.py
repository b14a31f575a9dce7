"""The data path: sources, splits, the feature spec, the encoder, blocks and the stores that keep them."""

from .block import Block, make_block
from .dataset import Dataset, Split, assign
from .encode import Encoder, encode_batch
from .layout import Layout
from .memory_store import MemoryStore
from .numbering import Numbering, can_number
from .order import EpochOrder, epoch_order
from .parquet import ParquetDataset, read_parquet
from .sources import as_dataset, open_store
from .spec import FeatureSpec
from .statistics import Statistics, merge
from .store import BlockStore

__all__ = [
    "Block",
    "BlockStore",
    "Dataset",
    "Encoder",
    "EpochOrder",
    "FeatureSpec",
    "Layout",
    "MemoryStore",
    "Numbering",
    "ParquetDataset",
    "Split",
    "Statistics",
    "as_dataset",
    "assign",
    "can_number",
    "encode_batch",
    "epoch_order",
    "make_block",
    "merge",
    "open_store",
    "read_parquet",
]
