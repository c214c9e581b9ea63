"""Tables for terminals of any width."""

from mmoe_repro.text import aligned, markdown

HEADER = ["claim", "in words", "effect", "paper"]
ROWS = [["C1", "Every model's mean final loss is lower where the tasks are more alike.", "1.27", "1.18"]]


def test_sentences_are_broken_to_fit_and_optional_columns_left_out():
    wide = aligned(HEADER, ROWS, 120, ("paper",), "in words")
    assert len(wide.splitlines()) == 3 and "1.18" in wide
    for width in (44, 60, 80):
        lines = aligned(HEADER, ROWS, width, ("paper",), "in words").splitlines()
        assert max(map(len, lines)) <= width
        assert " ".join(line[7:].rpartition("  ")[0].strip() or line[7:] for line in lines[2:3]).startswith(
            "Every model's"
        )
    narrow = aligned(HEADER, ROWS, 44, ("paper",), "in words")
    assert "1.27" in narrow and "1.18" not in narrow and len(narrow.splitlines()) > 3


def test_without_a_width_nothing_is_left_out_or_broken():
    assert ROWS[0][1] in aligned(HEADER, ROWS)


def test_numbers_stand_to_the_right_and_words_to_the_left():
    lines = aligned(["model", "runs"], [["mmoe", "5"], ["omoe", "200"]]).splitlines()
    assert lines[2:] == ["mmoe      5", "omoe    200"]


def test_markdown_has_a_line_for_each_row():
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
