"""The console command: picks the command and hands the overrides to Hydra."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

from mmoe_repro.errors import UsageError, nearest

_HELP = """\
mmoe-repro: the synthetic study of the MMoE paper (Ma et al., KDD 2018), reproduced.

  mmoe-repro sweep                                            3 models × 3 correlations, a few minutes on 2 cores
  mmoe-repro sweep model=mmoe,omoe data.correlation=0.2,0.8   comma lists sweep; any setting can be overridden
  mmoe-repro sweep experiment=paper                           the paper's whole protocol
  mmoe-repro sweep --help                                     every setting of a sweep
  mmoe-repro correlation                                      the paper's Figure 2: what task correlation means
  mmoe-repro recover                                          what the paper leaves out, from its figures
  mmoe-repro sweep experiment=architectures                   twelve architectures at the paper's number of weights
  mmoe-repro report results/sweep                             its page: which of the paper's claims hold
  mmoe-repro models                                           the architectures: equation, source, weights, operations
  mmoe-repro data                                             the data laws: moments, label correlation, source
  mmoe-repro --version

Shell completion: eval "$(mmoe-repro -sc install=bash)"
"""
#: Commands of one config, and the module that does the work.
_ONCE = {
    "correlation": "mmoe_repro.correlation",
    "recover": "mmoe_repro.recovery.recover",
    "report": "mmoe_repro.report.report",
}
_COMMANDS = ("sweep", *_ONCE, "models", "data")
#: Flags that show something in place of working.
_SHOWING = {
    "--help",
    "-h",
    "--hydra-help",
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--shell-completion",
    "-sc",
    "--version",
}
#: Hydra's flags whose value may stand apart.
_FLAGS_WITH_VALUE = {"--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c"}
_FLAGS_WITH_VALUE |= {"--package", "-p", "--info", "-i", "--shell-completion", "-sc", "--experimental-rerun"}


def main() -> int:
    """Run the command line; the exit status is 2 for a user's mistake."""
    arguments = sys.argv[1:]
    try:
        return _dispatch(arguments)
    except UsageError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("\nmmoe-repro: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _refuse(message: str) -> int:
    print(f"mmoe-repro: {message}", file=sys.stderr)
    return 2


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(_HELP, end="")
        return 0
    if arguments[0] == "--version":
        from mmoe_repro import __version__

        print(f"mmoe-repro {__version__}")
        return 0
    if arguments[0] in ("-sc", "--shell-completion"):
        return _complete(arguments)
    command, *rest = arguments
    if command not in _COMMANDS:
        raise UsageError(f"no command '{command}': {nearest(command, _COMMANDS)}")
    return _sweep(rest) if command == "sweep" else _once(command, rest) if command in _ONCE else _list(command, rest)


def _list(command: str, arguments: list[str]) -> int:
    if arguments and arguments[0] not in ("--help", "-h"):
        raise UsageError(f"mmoe-repro {command} takes no arguments; got '{arguments[0]}'")
    from mmoe_repro import listing

    listing.show_models() if command == "models" else listing.show_data()
    return 0


def _sweep(arguments: list[str]) -> int:
    def job(settings: "DictConfig") -> None:
        from mmoe_repro import sweep

        sweep.run_job(settings)

    showing = _shows(arguments)
    _run_hydra("sweep", [*_rewritten(arguments, showing), *([] if showing else ["--multirun"])], job)
    if showing:
        return 0
    from mmoe_repro import sweep

    return sweep.finish(["mmoe-repro", "sweep", *arguments])


def _once(command: str, arguments: list[str]) -> int:
    """A command that works on one config: Hydra composes it, and the work is outside of its hands."""
    composed = []

    def note(settings: "DictConfig") -> None:
        from hydra.core.hydra_config import HydraConfig

        composed.append((settings, HydraConfig.get()))

    _run_hydra(command, _with_folder(arguments) if command == "report" else arguments, note)
    for settings, hydra in composed:
        try:
            return int(import_module(_ONCE[command]).run(settings, hydra) or 0)
        except OSError as error:
            print(f"mmoe-repro: cannot write to {error.filename}: {error.strerror}", file=sys.stderr)
            return 1
    return 0


def _with_folder(arguments: list[str]) -> list[str]:
    """`report results/x` is `report results=results/x`.

    Raises:
        UsageError: no folder is named.
    """
    named = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if not argument.startswith("-") and "=" not in argument and before not in _FLAGS_WITH_VALUE
    ]
    if not named and not _shows(arguments) and not any(argument.startswith("results=") for argument in arguments):
        raise UsageError("mmoe-repro report: which results? For example: mmoe-repro report results/sweep")
    quoted = [argument.replace("'", "\\'") for argument in named]
    return [*(f"results='{folder}'" for folder in quoted), *(one for one in arguments if one not in named)]


def _shows(arguments: list[str]) -> bool:
    return any(argument.split("=")[0] in _SHOWING for argument in arguments)


def _run_hydra(command: str, arguments: list[str], task: Callable[["DictConfig"], None]) -> None:
    """Let Hydra act on its arguments: compose and run the task, or show something.

    Raises:
        UsageError: Hydra refused the arguments; one line tells why.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from mmoe_repro import config
    from mmoe_repro.hydra_errors import explain

    config.register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, so that it can be told in one line
    # One's own modules lie in the current folder; appended, so that they hide nothing.
    sys.path.append(os.getcwd())
    try:
        sys.argv = [sys.argv[0], *arguments]
        hydra.main(version_base="1.3", config_path=str(config.folder()), config_name=command)(task)()
    except UsageError:
        raise
    except (HydraException, OmegaConfBaseException, OSError, ValueError, YAMLError) as error:
        raise UsageError(explain(error)) from error
    except SystemExit as exit_:
        if not _shows(arguments) or exit_.code:
            raise


def _rewritten(arguments: list[str], showing: bool) -> list[str]:
    """Put the overrides before the flags, as Hydra wants them, and adapt them to how it composes."""
    _check_own_configs(arguments)
    overrides: list[str] = []
    flags: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        is_flag = argument.startswith("-") or before in _FLAGS_WITH_VALUE
        (flags if is_flag else overrides).append(argument)
    return [_rewritten_override(override, showing) for override in overrides] + flags


def _rewritten_override(argument: str, showing: bool) -> str:
    """Adapt an override to how Hydra composes.

    - A sweep's master config is composed with the default model and law, so a fixed `model.width=8` would be
      refused where only the chosen model has that key; as a sweep of one value it is applied to the jobs only.
    - `--cfg` and `--help` show one job: of a comma list, its first.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return argument  # Hydra says what is wrong with it
    key = override.key_or_group
    if override.is_sweep_override():
        if key in ("name", "experiment"):
            raise UsageError(f"{key}: one sweep has one {key}; got '{argument}'")
        if showing and override.is_discrete_sweep():
            return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"
    elif (
        not showing and key.startswith(("model.", "data.")) and not argument.endswith("=") and not override.is_delete()
    ):
        return f"{override.get_key_element()}=choice({override.get_value_element_as_str()})"
    return argument


def _check_own_configs(arguments: list[str]) -> None:
    """Refuse a `--config-dir` whose files Hydra would silently pass over for built-in ones of the same name."""
    from mmoe_repro import config

    for position, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag not in ("--config-dir", "-cd"):
            continue
        own = Path(value or next(iter(arguments[position + 1 :]), ""))
        if not own.is_dir():
            raise UsageError(f"--config-dir {own}: there is no such folder")
        for path in sorted(own.rglob("*.yaml")):
            if (config.folder() / path.relative_to(own)).exists():
                raise UsageError(f"{path}: a built-in option has this name; rename the file")


def _complete(arguments: list[str]) -> int:
    """Shell completion: the command word is ours, what follows it is Hydra's."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split()
    if arguments[-1].startswith("query=") and len(words) + line.endswith(" ") <= 2:
        print(*_COMMANDS, "--help --version")
        return 0
    command = "sweep"
    if arguments[-1].startswith("query="):
        command = words[1]
        if command not in ("sweep", *_ONCE):
            return 0
        os.environ["COMP_LINE"] = line.replace(f"{words[0]} {command}", words[0], 1)
    _run_hydra(command, arguments, lambda settings: None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
