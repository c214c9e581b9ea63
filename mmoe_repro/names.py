"""What readers call architectures and settings."""

#: The architectures, by option of the `model` group.
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


def name_of(model: str) -> str:
    """What readers call an option of the `model` group."""
    return NAMES.get(model, model)


def readable(key: str) -> str:
    """The last part of a dotted key, as words.

    >>> readable("training.batch_size")
    'batch size'
    """
    return key.split(".")[-1].replace("_", " ")
