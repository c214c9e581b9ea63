"""The series of a sweep: which cells make a line, and how it is told from others."""

from helpers import swept_cells

from mmoe_repro.names import NAMES
from mmoe_repro.views import style


def test_settings_of_a_model_keep_its_look_and_have_labels_of_their_own():
    swept = swept_cells(["mmoe", "my_net"], [0.5], **{"model.experts": [1, 2, 4, 8, 16, 32]})
    series = style.series_of(swept, {cell.identity: True for cell in swept})
    assert len({one.label for one in series}) == 12
    assert len({one.style for one in series if one.model == "mmoe"}) == 1
    assert len({one.style for one in series}) == 2
    assert list(style.variants_of(series)) == [f"experts {number}" for number in (1, 2, 4, 8, 16, 32)]


def test_every_model_looks_the_same_in_all_sweeps_and_nothing_else_looks_like_it():
    styles = [style.style_of(model, list(NAMES)) for model in NAMES]
    assert styles == [style.style_of(model, [model]) for model in NAMES]
    assert len({one.color for one in styles}) == len({one.marker for one in styles}) == len(NAMES) == 12
    others = {style.INK, style.NEUTRAL, style.OURS, style.HOLDS, style.FAILS, *style.tints_of(3)}
    assert not others & {one.color for one in styles}
    own = [style.style_of(model, ["mine", "mmoe", "yours"]) for model in ("mine", "yours")]
    assert own[0] != own[1] and not {one.color for one in own} & {one.color for one in styles}


def test_models_have_the_order_of_the_paper_whatever_the_command_said():
    assert style.models_of(["mine", "ple", "mmoe", "shared_bottom", "mmoe"]) == ["shared_bottom", "mmoe", "ple", "mine"]


def test_of_several_rates_only_the_chosen_are_shown():
    swept = swept_cells(["mmoe"], [0.5, 1.0])
    chosen = {swept[0].identity: True, swept[1].identity: False}
    (one,) = style.series_of(swept, chosen)
    assert list(one.cells) == [0.5]
