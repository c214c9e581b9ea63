"""Figures as files, PNG and SVG, of which only those are drawn that are not there yet."""

import hashlib
import pickle
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

from mmoe_repro.errors import DrawingError, one_line
from mmoe_repro.runs.files import write_atomically
from mmoe_repro.views.panels import Picture, in_files


def save(folder: Path, pictures: Mapping[str, Picture]) -> list[Path]:
    """Draw pictures in the program's style, each as PNG and SVG, and remove those of an earlier command.

    Files that are of the same picture already stay as they are.

    Args:
        folder: where they go.
        pictures: by file name, without its ending; one of too many panels becomes `name`, `name_2` and so on.

    Returns:
        the PNG files.

    Raises:
        DrawingError: some could not be drawn; all others are there.
        OSError: they cannot be written.
    """
    files = {name: one for of, picture in pictures.items() for name, one in in_files(of, picture).items()}
    failed = {}
    for name, picture in files.items():
        digest, paths = _digest(picture), [folder / (name + ending) for ending in (".svg", ".png")]
        if all(path.exists() for path in paths) and digest.encode() in paths[1].read_bytes():
            continue
        try:
            from mmoe_repro.views import matplotlib_renderer  # half a second, which figures that are there do without

            drawn = matplotlib_renderer.contents(picture, digest)
        except Exception as error:  # of fonts, of a release of Matplotlib: one picture costs no other
            failed[name] = one_line(error)
            continue
        for path in paths:
            write_atomically(path, drawn[path.suffix])
    drawn_now = [name for name in files if name not in failed]
    for path in [*folder.glob("*.png"), *folder.glob("*.svg")]:
        if path.stem not in drawn_now:
            path.unlink()
    if failed:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in failed.items())
        raise DrawingError(f"{folder}: could not draw {reasons}; everything else is there")
    return [folder / f"{name}.png" for name in files]


def _digest(picture: Picture) -> str:
    """Tells a drawn picture from others: by its data, what draws it, Matplotlib's version. PNG files record it."""
    return hashlib.sha256(pickle.dumps((picture, _drawn_by()))).hexdigest()


@cache
def _drawn_by() -> tuple[str, ...]:
    code = (Path(__file__).with_name(f"{name}.py") for name in ("matplotlib_renderer", "panels", "style"))
    return version("matplotlib"), *(path.read_text(encoding="utf-8") for path in code)
