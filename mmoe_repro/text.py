"""Tables of text: aligned columns for the terminal, Markdown and LaTeX."""

import re
import shutil
import textwrap
import unicodedata
from collections.abc import Sequence
from math import isnan

#: Columns that hold words, which stand to the left; numbers stand to the right.
_WORDS = ("model", "data", "setting", "of which", "claim", "verdict", "decided by", "in words", "sweep", "date", "what")
#: Signs that LaTeX takes for something else, or does not have.
_IN_LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {sign: f"${sign}$" for sign in "<>"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"–": "--", "÷": r"$\div$", "×": r"$\times$", "✓": r"$\bullet$"}
)
#: A column of sentences is at least this wide, and text is wider than this on no terminal.
_NARROWEST, _WIDEST = 24, 120
#: Width of a column of names, such as settings.
_NAMES = 28
#: What stands for a character where a terminal does not have it, and Unicode knows of nothing plainer.
_PLAIN = {
    "─": "-",
    "–": "-",
    "−": "-",
    "×": "x",
    "÷": "/",
    "⁄": "/",
    "·": ".",
    "√": "sqrt",
    "‖": "|",
    "±": "+-",
    "✓": "y",
}


def plain(text: str) -> str:
    """Text in ASCII, for a terminal that has no more.

    >>> plain("y = Σ g², 95 % – α…")
    'y = sigma g2, 95 % - alpha...'
    """
    return "".join(map(_plain, unicodedata.normalize("NFKD", text)))


def _plain(character: str) -> str:
    if character.isascii() or unicodedata.combining(character):
        return character if character.isascii() else ""
    name = unicodedata.name(character, "")
    return name.split()[-1].lower() if name.startswith("GREEK") else _PLAIN.get(character, "?")


def listed(words: Sequence[str]) -> str:
    """Words as one lists them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def percent(share: float) -> str:
    """A share as whole percents, a dash if there is none.

    >>> percent(0.257), percent(float("nan"))
    ('26 %', '–')
    """
    return "–" if isnan(share) else f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """A length of time, as one says it.

    >>> duration(40), duration(200), duration(7000)
    ('1 minute', '3 minutes', '1.9 hours')
    """
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'' if minutes == 1 else 's'}" if minutes < 90 else f"{seconds / 3600:.1f} hours"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as a Markdown table, whatever their text is."""
    shown = ([inline(text) for text in line] for line in rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in (map(inline, header), ["---"] * len(header), *shown))


def inline(text: str) -> str:
    r"""Text in a line of Markdown or a cell of a table, in which no tag, link or new column begins.

    >>> print(inline("a | b < c <b>, [x](y)"))
    a \| b < c &lt;b>, [x]\(y)
    """
    text = " ".join(text.split()).replace("|", "\\|").replace("](", "]\\(").replace("`", "\\`")
    return re.sub("<(?=[A-Za-z/!?])", "&lt;", text)


def code(text: str) -> str:
    """Text as code in Markdown, between more backticks than it has side by side."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if len(fence) > 1 else ""
    return f"{fence}{space}{' '.join(text.split())}{space}{fence}"


def latex(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Columns as a LaTeX table, for the package booktabs.

    >>> print(latex(["model", "p < 0.05"], [["shared_bottom", "5 %"]]))
    % needs \usepackage{booktabs}
    \begin{tabular}{lr}
    \toprule
    model & p $<$ 0.05 \\
    \midrule
    shared\_bottom & 5 \% \\
    \bottomrule
    \end{tabular}
    <BLANKLINE>
    """
    sides = "".join("l" if name in _WORDS else "r" for name in header)
    lines = [" & ".join(text.translate(_IN_LATEX) for text in line) + r" \\" for line in (header, *rows)]
    before = [r"% needs \usepackage{booktabs}", rf"\begin{{tabular}}{{{sides}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*before, *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def terminal_width() -> int:
    """Columns of the terminal, 80 where there is none, and never more than can be read."""
    return min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)


def described(entries: Sequence[tuple[str, str]], width: int, column: int = _NAMES) -> list[str]:
    r"""Names, and beside each (or below, if it is long) what it is.

    Args:
        entries: a name and what it is, each.
        width: that the lines have to fit in.
        column: width of the column of names.

    >>> print(*described([("runs=20", "of each cell"), ("experiment=architectures", "all twelve")], 30, 10), sep="\n")
      runs=20     of each cell
      experiment=architectures
                  all twelve
    """
    found = []
    for name, what in entries:
        lines = textwrap.wrap(what, width - column - 4, break_long_words=False, break_on_hyphens=False)
        beside = lines.pop(0) if lines and len(name) <= column else ""
        found.append(f"  {name:{column}}  {beside}".rstrip())
        found += [f"  {'':{column}}  {line}" for line in lines]
    return found


def examples(commands: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Commands, and what each does: in two columns if there is room, as `described`."""
    return described(commands, width, max(len(name) for name, _ in commands) if width > 100 else _NAMES)


def paragraph(text: str, indent: str = "  ") -> str:
    """Text as an indented paragraph that fits the terminal."""
    return textwrap.fill(" ".join(text.split()), terminal_width(), initial_indent=indent, subsequent_indent=indent)


def aligned(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    optional: Sequence[str] = (),
    sentences: str = "",
) -> str:
    """Columns for the terminal: names to the left, numbers to the right.

    Args:
        header: a name for each column.
        rows: its cells.
        width: that the table has to fit in; None for as wide as it is.
        optional: columns that are left out if it is too wide, the first of these first.
        sentences: a column that is broken into lines to fit.

    >>> print(aligned(["claim", "in words", "effect"], [["C1", "losses fall", "1.2"]], 30, (), "in words"))
    claim  in words     effect
    ─────  ───────────  ──────
    C1     losses fall     1.2
    <BLANKLINE>
    """
    shown = list(range(len(header)))
    widths = [max(len(line[i]) for line in (header, *rows)) for i in shown]

    def needed() -> int:
        least = (min(widths[i], _NARROWEST) if header[i] == sentences else widths[i] for i in shown)
        return sum(least) + 2 * (len(shown) - 1)

    if width is not None:
        for name in optional:
            if needed() > width and name in header:
                shown.remove(list(header).index(name))
        if sentences in header:
            place = list(header).index(sentences)
            widths[place] = min(widths[place], max(_NARROWEST, width - needed() + min(widths[place], _NARROWEST)))
    lines = []
    for line in (header, ["─" * one for one in widths], *rows):
        broken = [textwrap.wrap(line[i], widths[i]) if header[i] == sentences else [line[i]] for i in shown]
        for number in range(max(map(len, broken))):
            texts = [text[number] if number < len(text) else "" for text in broken]
            padded = (
                text.ljust(widths[i]) if header[i] in _WORDS else text.rjust(widths[i])
                for text, i in zip(texts, shown, strict=True)
            )
            lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"
