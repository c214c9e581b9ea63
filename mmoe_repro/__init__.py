"""The synthetic study of the MMoE paper (Ma et al., KDD 2018), reproduced."""

from importlib.metadata import version

__version__ = version("mmoe-repro")
