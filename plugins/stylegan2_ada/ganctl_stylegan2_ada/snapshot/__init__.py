"""Network snapshots of StyleGAN2-ADA, read without running anything that is in them."""

from .reader import read_snapshot
from .records import NetworkRecord, Snapshot, TensorFlowRecord

__all__ = ["NetworkRecord", "Snapshot", "TensorFlowRecord", "read_snapshot"]
