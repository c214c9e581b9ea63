"""The console command: picks the command and hands the overrides to Hydra."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from mmoe_repro.errors import UsageError, nearest

_HELP = """\
mmoe-repro: the synthetic study of the MMoE paper (Ma et al., KDD 2018), reproduced.

  mmoe-repro sweep                                            3 models × 3 correlations, a few minutes on 2 cores
  mmoe-repro sweep model=mmoe,omoe data.correlation=0.2,0.8   comma lists sweep; any setting can be overridden
  mmoe-repro sweep experiment=paper                           the paper's whole protocol
  mmoe-repro sweep --help                                     every setting of a sweep
  mmoe-repro models                                           the architectures: equation, weights, source
  mmoe-repro data                                             the data laws: moments, label correlation, source
  mmoe-repro --version

Shell completion: eval "$(mmoe-repro -sc install=bash)"
"""
#: Flags that show something in place of a sweep.
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
    commands: dict[str, Callable[[list[str]], int]] = {"sweep": _sweep, "models": _models, "data": _data}
    command, *rest = arguments
    if command not in commands:
        raise UsageError(f"no command '{command}': {nearest(command, commands)}")
    return commands[command](rest)


def _models(arguments: list[str]) -> int:
    _takes_nothing("models", arguments)
    from mmoe_repro import listing

    listing.show_models()
    return 0


def _data(arguments: list[str]) -> int:
    _takes_nothing("data", arguments)
    from mmoe_repro import listing

    listing.show_data()
    return 0


def _takes_nothing(command: str, arguments: list[str]) -> None:
    if arguments and arguments[0] not in ("--help", "-h"):
        raise UsageError(f"mmoe-repro {command} takes no arguments; got '{arguments[0]}'")


def _sweep(arguments: list[str]) -> int:
    showing = any(argument.split("=")[0] in _SHOWING for argument in arguments)
    # One's own modules lie in the current folder; appended, so that they hide nothing.
    sys.path.append(os.getcwd())
    _run_hydra("sweep", arguments, showing)
    if showing:
        return 0
    from mmoe_repro import sweep

    return sweep.finish(["mmoe-repro", "sweep", *arguments])


def _run_hydra(command: str, arguments: list[str], showing: bool) -> None:
    """Let Hydra act on the arguments.

    Raises:
        UsageError: Hydra refused the arguments; one line tells why.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from mmoe_repro import config
    from mmoe_repro.hydra_errors import explain

    def task(settings: DictConfig) -> None:
        from mmoe_repro import sweep

        sweep.run_job(settings)

    config.register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, so that it can be told in one line
    try:
        sys.argv = [sys.argv[0], *_rewritten(arguments, showing), *([] if showing else ["--multirun"])]
        hydra.main(version_base="1.3", config_path=str(config.folder()), config_name=command)(task)()
    except UsageError:
        raise
    except (HydraException, OmegaConfBaseException, OSError, ValueError, YAMLError) as error:
        raise UsageError(explain(error)) from error
    except SystemExit as exit_:
        if not showing or exit_.code:
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
    """Shell completion: the command word is ours, what follows `sweep` is Hydra's."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split()
    if arguments[-1].startswith("query=") and len(words) + line.endswith(" ") <= 2:
        print("sweep models data --help --version")
        return 0
    if arguments[-1].startswith("query="):
        if words[1] != "sweep":
            return 0
        os.environ["COMP_LINE"] = line.replace(f"{words[0]} sweep", words[0], 1)
    _run_hydra("sweep", arguments, showing=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
