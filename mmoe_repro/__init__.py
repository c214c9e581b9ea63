"""Reproduces the synthetic study of the MMoE paper (Ma et al., KDD 2018)."""

from importlib.metadata import version
from typing import Any

__version__ = version("mmoe-repro")
__all__ = ["Tables", "Trained", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    """Offer `load` and `train` without importing PyTorch before they are asked for."""
    if name in __all__:
        from mmoe_repro import api

        return getattr(api, name)
    raise AttributeError(f"module 'mmoe_repro' has no attribute '{name}'")
