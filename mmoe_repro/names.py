"""What readers call the architectures, by option of the `model` group."""

NAMES = {
    "single_task": "Single-Task",
    "shared_bottom": "Shared-Bottom",
    "l2_constrained": "L2-Constrained",
    "cross_stitch": "Cross-Stitch",
    "tensor_factorization": "Tensor-Factorization",
    "moe": "MoE",
    "omoe": "OMoE",
    "mmoe": "MMoE",
    "sparse_moe": "Sparse MoE",
    "stacked_moe": "Stacked MoE",
    "cgc": "CGC",
    "ple": "PLE",
}
