"""The examples that runs learn from: the data laws, and each run's own stream of them."""

from mmoe_repro.data.synthetic import SyntheticLaw

__all__ = ["SyntheticLaw"]
