"""The series of a sweep: which cells make a line, and how it is told from others."""

from test_figures import cells

from mmoe_repro import plots


def test_variants_of_a_model_keep_its_colour_and_can_be_told_apart():
    swept = cells(["mmoe", "my_net"], [0.5], **{"model.experts": [1, 2, 4, 8, 16, 32]})
    series = plots.series_of(swept, {cell.cell.identity: True for cell in swept})
    assert len({one.label for one in series}) == 12
    assert len({one.color for one in series if one.model == "mmoe"}) == 1
    assert len({(one.color, one.marker, str(one.line)) for one in series}) == 12


def test_of_several_rates_only_the_chosen_are_shown():
    swept = cells(["mmoe"], [0.5, 1.0])
    chosen = {swept[0].cell.identity: True, swept[1].cell.identity: False}
    (one,) = plots.series_of(swept, chosen)
    assert list(one.cells) == [0.5]
