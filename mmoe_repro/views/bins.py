"""The bins of every histogram."""

import numpy as np

#: Width of Figure 5's bins, in the paper's losses.
BIN = 1 / 30


def histogram_bins(losses: np.ndarray, paper_loss: float) -> tuple[np.ndarray, bool]:
    """Bin edges for a histogram of losses, and whether they are the paper's: unless this law's losses lie elsewhere.

    Args:
        losses: of all runs that are drawn `(runs,)`.
        paper_loss: how many squared errors a loss of the paper is.

    >>> edges, like_paper = histogram_bins(np.array([0.1, 0.45]), paper_loss=1.0)
    >>> like_paper, len(edges)
    (True, 21)
    """
    top = float(np.quantile(losses, 0.995)) if losses.size else 1.0
    like_paper, width = 0.1 <= top * paper_loss <= 1.5, BIN / paper_loss
    if like_paper:
        return np.arange(0, max(top, 0.64 / paper_loss) + width, width), True
    return np.linspace(0, top if top > 0 else 1.0, 25), False
