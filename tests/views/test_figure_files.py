"""Figures as files: those that are there stay, and one that fails costs no other."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest

from mmoe_repro.errors import DrawingError
from mmoe_repro.views import figure_files, matplotlib_renderer
from mmoe_repro.views.panels import Axis, Line, Panel, Picture, Style


def test_the_users_own_settings_do_not_touch_a_figure(tmp_path):
    picture = {"one": Picture("title", "note", "words", [Panel("", Axis("x", 0, 1), Axis("y", 0, 1), [])], 1)}
    (plain,) = figure_files.save(tmp_path / "plain", picture)
    theirs = {"text.usetex": True, "font.size": 40, "axes.facecolor": "red", "savefig.dpi": 20, "svg.fonttype": "path"}
    with matplotlib.rc_context(theirs):
        (touched,) = figure_files.save(tmp_path / "touched", picture)
    for ending in (".png", ".svg"):
        assert plain.with_suffix(ending).read_bytes() == touched.with_suffix(ending).read_bytes()


def test_a_figure_that_fails_is_named_and_costs_no_other(tmp_path):
    good = Picture("about $m", "note", "words", [Panel("$_$", Axis("x", 0, 1), Axis("y", 0, 1), [])], 1)
    bad = replace(good, panels=[replace(good.panels[0], x=Axis("x", np.nan, 1))])
    figure_files.save(tmp_path, {"first": good, "last": good})
    with pytest.raises(DrawingError, match=r"could not draw first .*everything else is there"):
        figure_files.save(tmp_path, {"first": bad, "last": good})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.png", "last.svg"], "nothing of an earlier command"


def test_only_what_changed_is_drawn_again(tmp_path, monkeypatch):
    drawn = []
    draw = matplotlib_renderer.draw
    monkeypatch.setattr(matplotlib_renderer, "draw", lambda picture: drawn.append(picture.title) or draw(picture))

    def save(*titles):
        """Save pictures of these titles, made anew, and say which were drawn."""
        drawn.clear()
        axis = Axis("", 0, 1)
        marks = [Line(np.arange(2.0), np.arange(2.0), Style("#123456"))]
        made = {title[0]: Picture(title, "", "", [Panel("", axis, axis, marks)], 1) for title in titles}
        figure_files.save(tmp_path, made)
        return drawn

    assert save("a", "b") == ["a", "b"]
    assert save("a", "b") == []
    assert save("a", "b, with another title") == ["b, with another title"]
    (tmp_path / "a.svg").unlink()
    assert save("a", "b, with another title") == ["a"]
    monkeypatch.setattr(figure_files, "_drawn_by", lambda: ("another version",))
    assert save("a") == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg"], "b is of an earlier command"
