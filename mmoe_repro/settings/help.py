"""`mmoe-repro <command> --help`: a line for each setting, option and experiment, from the comments in `conf`."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from mmoe_repro.names import NAMES
from mmoe_repro.settings.schema import folder
from mmoe_repro.text import described, examples, terminal_width

#: A setting's line in YAML: how far it is indented, its key, its value, its comment.
_LINE = re.compile(r"^( *)([\w.]+): ?(.*?)(?: +# (.*))?$")
#: Where the settings of a group's default option stand, besides its own file.
_SHARED = {"model": "model_defaults", "data": "law_defaults"}
#: Keys of a file that are no settings, and settings that are other files.
_ASIDE = ("defaults", "hydra", "claims", "laws", "choices", "_target_")
_OWN_FLAGS = {
    "sweep": (("--dry-run", "show the grid and what there is to train, and stop"),),
    "report": (("--open", "open=true: show the page in a browser"),),
}
_FLAGS = (
    ("--cfg job", "print the settings of one job and stop"),
    ("--config-dir DIR", "add your own model/, data/, training/ and experiment/ files"),
    ("--shell-completion install=bash", 'print shell completion: eval "$(mmoe-repro -sc install=bash)"'),
)


def help_text(command: str) -> str:
    """What a command does, examples of it, and everything that can be set.

    Args:
        command: of `conf/<command>.yaml`.
    """
    config = yaml.safe_load((folder() / f"{command}.yaml").read_text(encoding="utf-8"))
    given, width = config["hydra"]["help"], terminal_width()
    shown = given["template"].replace("${hydra.help.header}", "").strip("\n")
    groups = [name for entry in config["defaults"] if isinstance(entry, dict) for name in entry]
    groups = [name for name in groups if (folder() / name).is_dir()]
    commands = [re.split(r" {2,}", line.strip(), maxsplit=1) for line in shown.splitlines()]
    parts = [textwrap.fill(given["header"], width), "", *examples([(name, what) for name, what in commands], width), ""]
    for group in groups:
        if group != "claims":
            parts += [f"{group}=…", *described([*_options(group)], width), ""]
    own = _settings([folder() / f"{command}.yaml"], "")
    parts += ["Settings and their defaults", *described([*own], width), ""]
    for group in groups:
        default = next(entry[group] for entry in config["defaults"] if isinstance(entry, dict) and group in entry)
        if group in ("model", "data", "training"):
            files = [folder() / f"{_SHARED[group]}.yaml"] if group in _SHARED else []
            files.append(folder() / group / f"{default}.yaml")
            parts += [f"Settings of {group}={default}", *described([*_settings(files, f"{group}.")], width), ""]
    if "claims" in groups:
        parts += ["claims.…   by what the paper's claims are judged: docs/claims.md", ""]
    if command == "atlas":
        parts += ["choices.…  what is varied, and its prior: conf/atlas.yaml", ""]
    parts += ["Flags", *described([*_OWN_FLAGS.get(command, ()), *_FLAGS], width)]
    return "\n".join(parts) + "\n"


def _options(group: str) -> Iterator[tuple[str, str]]:
    """Each option of a group, and the first sentence of its comment."""
    for path in sorted((folder() / group).glob("*.yaml")):
        sentence = re.split(r"(?<=[^.0-9])[.:;] ", opening_comment(path), maxsplit=1)[0].rstrip(".")
        yield path.stem, NAMES[path.stem] if group == "model" else sentence


def opening_comment(path: Path) -> str:
    """The comment that a config file opens with: what it is, or where it is from."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @"):
            continue
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines).removeprefix("Source: ")


def _settings(paths: Sequence[Path], prefix: str) -> Iterator[tuple[str, str]]:
    """Each setting of files that are read one after the other, with its comment."""
    found: dict[str, tuple[str, str]] = {}
    for path in paths:
        above: list[tuple[int, str]] = []
        skipped: int | None = None
        content = re.sub(r":\n *- .*(?:\n *- .*)*", ": […]", path.read_text(encoding="utf-8"))  # long lists
        for match in filter(None, map(_LINE.match, content.splitlines())):
            indent, key, value, comment = len(match[1]), match[2], match[3], match[4] or ""
            if skipped is not None and indent > skipped:
                continue
            skipped = None
            above = [(before, name) for before, name in above if before < indent]
            name = prefix + ".".join([*(name for _, name in above), key])
            if key in _ASIDE:
                skipped = indent
            elif not value or value.startswith("#"):
                above.append((indent, key))
            else:
                found[name] = value, comment or found.get(name, ("", ""))[1]
    for name, (value, comment) in found.items():
        yield f"{name}={value}", comment
