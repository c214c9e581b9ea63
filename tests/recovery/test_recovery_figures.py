"""The recovery's pictures: what was tried can be read off them."""

import numpy as np
import pandas as pd

from mmoe_repro.recovery.figures import profiles


def test_many_values_of_a_choice_are_named_now_and_then_and_words_have_lines():
    table = pd.DataFrame(
        {"choice_law": [f"{law}" for law in range(30)], "choice_initializer": ['"he_normal"', '"torch"'] * 15}
    )
    table = table.assign(score_1=np.linspace(0.5, 20, 30))
    by_label = {panel.x.label: panel.x for panel in profiles(table).panels}
    laws = by_label["law that gives Figure 2"].names
    assert len(laws) == 30 and 6 <= sum(map(bool, laws)) <= 12
    assert by_label["initialiser"].names == ("he\nnormal", "torch")
