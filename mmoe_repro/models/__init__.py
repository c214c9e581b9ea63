"""Architectures, each an ordinary module written for one run: features `(batch, d)` to `(batch, tasks)`."""

from mmoe_repro.models.cgc import CGC
from mmoe_repro.models.cross_stitch import CrossStitch
from mmoe_repro.models.l2_constrained import L2Constrained
from mmoe_repro.models.mmoe import MMoE
from mmoe_repro.models.moe import MoE
from mmoe_repro.models.omoe import OMoE
from mmoe_repro.models.parts import ASIDE, count_weights, weights_by_part
from mmoe_repro.models.ple import PLE
from mmoe_repro.models.shared_bottom import SharedBottom
from mmoe_repro.models.single_task import SingleTask
from mmoe_repro.models.sparse_moe import SparseMoE
from mmoe_repro.models.stacked_moe import StackedMoE
from mmoe_repro.models.tensor_factorization import TensorFactorization

__all__ = [
    "ASIDE",
    "CGC",
    "PLE",
    "CrossStitch",
    "L2Constrained",
    "MMoE",
    "MoE",
    "OMoE",
    "SharedBottom",
    "SingleTask",
    "SparseMoE",
    "StackedMoE",
    "TensorFactorization",
    "count_weights",
    "weights_by_part",
]
