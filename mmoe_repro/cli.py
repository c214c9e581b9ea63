"""The console command: picks the command and hands the overrides to Hydra."""

import codecs
import errno
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

from mmoe_repro.errors import DrawingError, Killed, Terminated, UsageError, nearest, one_line, raise_terminated, told
from mmoe_repro.text import examples, paragraph, plain, terminal_width

#: What the program does, a command and its gist each; the help of those that have no settings is their gist.
_EXAMPLES = (
    ("sweep", "3 models × 3 correlations, a few minutes on 2 cores"),
    ("sweep model=mmoe,omoe data.correlation=0.2,0.8", "comma lists sweep; any setting can be overridden"),
    ("sweep experiment=paper", "the paper's whole protocol"),
    ("sweep --dry-run", "the grid, and what there is to train"),
    ("sweep --help", "every setting of a sweep"),
    ("correlation", "the paper's Figure 2: what task correlation means"),
    ("recover", "what the paper leaves out, from its figures"),
    ("atlas", "which of its unstated choices each finding hangs on"),
    ("sweep experiment=architectures", "twelve architectures at the paper's number of weights"),
    ("report results/sweep", "its page: which of the paper's claims hold"),
    ("list", "the sweeps in results/, and how many claims hold in each"),
    ("compare results/one results/other", "where two sweeps differ, in settings and in losses"),
    ("models", "the architectures: equation, source, weights, operations"),
    ("data", "the data laws: moments, label correlation, source"),
    ("--version", "its version"),
)
#: Commands of one config, and the module that does the work.
_ONCE = {
    "atlas": "mmoe_repro.commands.atlas",
    "correlation": "mmoe_repro.commands.correlation",
    "recover": "mmoe_repro.commands.recover",
    "report": "mmoe_repro.commands.report",
}
#: Commands that take folders, and no settings.
_ON_FOLDERS = {"list": "show_list", "compare": "show_comparison"}
_COMMANDS = ("sweep", *_ONCE, *_ON_FOLDERS, "models", "data")
_HELP_FLAGS = {"--help", "-h"}
#: Flags that show something in place of working.
_SHOWING = {
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
#: The flags of each command besides `--help`: Hydra's, and our own.
_HYDRA_FLAGS = _SHOWING | _FLAGS_WITH_VALUE | {"--resolve", "--run", "-r", "--multirun", "-m"}
_FLAGS = {
    **dict.fromkeys(_ONCE, _HYDRA_FLAGS),
    "sweep": _HYDRA_FLAGS | {"--dry-run"},
    "report": _HYDRA_FLAGS | {"--open"},
}

#: Groups of options, and keys of Hydra's that a sweep rests on.
_GROUPS = ("cluster", "data", "experiment", "model", "training")
_FIXED = {"hydra/sweeper": "only the built-in one plans a sweep", "hydra.mode": "a sweep is one"}
#: What the system says of an output that takes no more, which has no file name.
_OF_OUTPUT = {errno.EPIPE, errno.ENOSPC, errno.EIO}


def main() -> int:
    """Run the command line; the exit status is 2 for a user's mistake."""
    if not __debug__:  # Hydra's parser does a part of its work inside assertions
        os.environ.pop("PYTHONOPTIMIZE", None)
        os.execv(sys.executable, [sys.executable, "-P", "-m", "mmoe_repro.cli", *sys.argv[1:]])
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # of a program that was started with it closed
    _degrade_what_cannot_be_shown()
    before = signal.signal(signal.SIGTERM, raise_terminated)
    hook, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        status = _dispatch(sys.argv[1:])
        sys.stdout.flush()
    except UsageError as error:
        return _say(str(error), 2)
    except DrawingError as error:
        return _say(str(error), 1)
    except Killed as error:
        return _say(f"{error}; the same command goes on from here", 1)
    except KeyboardInterrupt as interrupt:
        how = str(interrupt) or "stopped"  # a launcher says what became of its jobs
        message = f"{how}; the same command goes on from here"
        return _say(message, 128 + _signal_of(interrupt), opening="\n")  # after the ^C
    except MemoryError as error:
        return _say(f"{one_line(error)}; what is stored is safe", 1)
    except OSError as error:
        if error.filename is not None or error.errno not in _OF_OUTPUT:
            return _say(told(error), 1)
        # What is left to show is dropped, so that Python does not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A reader that has seen enough, such as `head`, is no failure.
        return 0 if isinstance(error, BrokenPipeError) else _say(f"standard output: {told(error)}", 1)
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = hook
    return status


def _say(message: str, status: int, opening: str = "") -> int:
    with suppress(OSError):  # of a terminal that is gone
        print(f"{opening}mmoe-repro: {message}", file=sys.stderr)
    return status


def _signal_of(interrupt: KeyboardInterrupt) -> signal.Signals:
    return signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT


def _interrupt_again(ignored: "UnraisableHookArgs") -> None:
    """End after all where Ctrl-C or SIGTERM came inside of what Python ignores all errors of, such as a `__del__`."""
    if isinstance(ignored.exc_value, KeyboardInterrupt):
        again = (os.getpid(), _signal_of(ignored.exc_value))
        threading.Timer(0.1, os.kill, again).start()  # at once it might come inside of the same again
    else:
        sys.__unraisablehook__(ignored)


def _degrade_what_cannot_be_shown() -> None:
    """Show plainer characters where a terminal does not have the ones meant."""

    def plainer(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return plain(error.object[error.start : error.end]), error.end

    codecs.register_error("mmoe_repro.plain", plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not in a notebook
            stream.reconfigure(errors="mmoe_repro.plain")


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {*_HELP_FLAGS, "help"}:
        return _help_of_all()
    if arguments[0] == "--version":
        from mmoe_repro import __version__

        print(f"mmoe-repro {__version__}")
        return 0
    if arguments[0] in ("-sc", "--shell-completion"):
        return _complete(arguments)
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError("the current folder was deleted; cd to one that exists") from None
    command, *rest = arguments
    if "=" in command:
        raise UsageError(f"no command '{command}': did you mean mmoe-repro sweep {command}?")
    if command not in _COMMANDS:
        raise UsageError(f"no command '{command}': {nearest(command, _COMMANDS)}")
    for argument in rest:
        if argument.startswith("-") and argument.split("=")[0] not in _HELP_FLAGS | _FLAGS.get(command, set()):
            raise UsageError(f"{command}: there is no flag {argument}; mmoe-repro {command} --help shows what there is")
    if (command == "sweep" or command in _ONCE) and _HELP_FLAGS.intersection(rest):
        return _help(command)
    if _HELP_FLAGS.intersection(rest):
        return _show(example for example in _EXAMPLES if example[0].split()[0] == command)
    if command in _ON_FOLDERS:
        return _on_folders(command, rest)
    return _sweep(rest) if command == "sweep" else _once(command, rest) if command in _ONCE else _list(command, rest)


def _help_of_all() -> int:
    print(paragraph("mmoe-repro: the synthetic study of the MMoE paper (Ma et al., KDD 2018), reproduced.", ""))
    print()
    _show(_EXAMPLES)
    print('\nShell completion: eval "$(mmoe-repro -sc install=bash)"')
    return 0


def _show(commands: Iterable[tuple[str, str]]) -> int:
    print(*examples([(f"mmoe-repro {command}", what) for command, what in commands], terminal_width()), sep="\n")
    return 0


def _on_folders(command: str, arguments: list[str]) -> int:
    from mmoe_repro.commands import sweeps

    return int(getattr(sweeps, _ON_FOLDERS[command])(arguments))


def _list(command: str, arguments: list[str]) -> int:
    if arguments:
        raise UsageError(f"{command} takes no arguments; got '{arguments[0]}'")
    from mmoe_repro.commands import listing

    listing.show_models() if command == "models" else listing.show_data()
    return 0


def _help(command: str) -> int:
    from mmoe_repro.settings.help import help_text

    print(help_text(command), end="")
    return 0


def _sweep(arguments: list[str]) -> int:
    def job(settings: "DictConfig") -> list[str]:
        from mmoe_repro.commands import sweep

        return sweep.run_job(settings)

    showing, dry = _shows(arguments), "--dry-run" in arguments
    given = [argument for argument in arguments if argument != "--dry-run"]
    given = _rewritten(given, _of_one_job if showing else _of_all_jobs)
    given = [*(["hydra.sweeper.dry_run=true"] if dry else []), *given, *([] if showing else ["--multirun"])]
    _run_hydra("sweep", given, job)
    if showing or dry:
        return 0
    from mmoe_repro.commands import sweep

    return sweep.finish(["mmoe-repro", "sweep", *arguments])


def _once(command: str, arguments: list[str]) -> int:
    """A command that works on one config: Hydra composes it, and the work is outside of its hands."""
    composed = []

    def note(settings: "DictConfig") -> None:
        from hydra.core.hydra_config import HydraConfig

        composed.append((settings, HydraConfig.get()))

    given = _with_folder(arguments) if command == "report" else arguments
    _run_hydra(command, _rewritten(given, lambda argument, _: argument), note)
    for settings, hydra in composed:
        return int(import_module(_ONCE[command]).run(settings, hydra) or 0)
    return 0


def _with_folder(arguments: list[str]) -> list[str]:
    """`report results/x --open` is `report results=results/x open=true`.

    Raises:
        UsageError: no folder is named, or several.
    """
    named = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if not argument.startswith("-")
        and ("=" not in argument or Path(argument).is_dir())
        and before not in _FLAGS_WITH_VALUE
    ]
    if not named and not _shows(arguments) and not any(argument.startswith("results=") for argument in arguments):
        raise UsageError("report: which results? For example: mmoe-repro report results/sweep")
    if len(named) > 1:
        raise UsageError(f"report: one folder at a time; others beside it: beside=[{','.join(named[1:])}]")
    given = [f"results={_quoted(folder)}" for folder in named]
    given += ["open=true"] if "--open" in arguments else []
    return [*given, *(one for one in arguments if one not in (*named, "--open"))]


def _quoted(value: str) -> str:
    """A value that Hydra's grammar takes as it is, whatever is in it."""
    for special in ("\\", "'", "${"):
        value = value.replace(special, f"\\{special}")
    return f"'{value}'"


def _shows(arguments: list[str]) -> bool:
    return any(argument.split("=")[0] in _SHOWING for argument in arguments)


def _run_hydra(command: str, arguments: list[str], task: Callable[["DictConfig"], object]) -> None:
    """Let Hydra act on its arguments: compose and run the task, or show something.

    Raises:
        UsageError: Hydra refused the arguments; one line says why.
    """
    import hydra
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from mmoe_repro.settings.hydra_errors import explain
    from mmoe_repro.settings.schema import folder, register

    register()
    # It would compose the whole config only to see whether that asks for another mode, which is the command's to say.
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, so that it can be said in one line
    # A user's modules lie in the current folder; appended, so that they hide nothing.
    sys.path.append(os.getcwd())
    parser = get_args_parser()
    parser.error = _refuse_flags  # type: ignore[method-assign]  # of a page of usage, the line that says what is wrong
    try:
        parser.parse_args(arguments)
        sys.argv = [sys.argv[0], *arguments]
        hydra.main(version_base="1.3", config_path=str(folder()), config_name=command)(task)()
    except (UsageError, BrokenPipeError):
        raise
    except (HydraException, OmegaConfBaseException, OSError, ValueError, YAMLError) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in _OF_OUTPUT:
            raise
        message = explain(error)
        lacking = re.search("Interpolation key '(.+)' not found", message)
        own = lacking and next((argument for argument in arguments if f"${{{lacking[1]}}}" in argument), None)
        raise UsageError(f"{own}: there is no setting {lacking[1]}" if lacking and own else message) from error
    except TypeError as error:
        own = next((argument for argument in arguments if argument.startswith("hydra")), None)
        if own is None:
            raise
        raise UsageError(f"{own}: {one_line(error)}") from error  # Hydra trusts its own settings
    except SystemExit as exit_:
        if not _shows(arguments) or exit_.code:
            raise


def _refuse_flags(message: str) -> NoReturn:
    raise UsageError(message)


def _rewritten(arguments: list[str], rewrite: "Callable[[str, Override], str]") -> list[str]:
    """Put the overrides before the flags, as Hydra wants them, and rewrite each."""
    _check_own_configs(arguments)
    overrides: list[str] = []
    flags: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        is_flag = argument.startswith("-") or before in _FLAGS_WITH_VALUE
        (flags if is_flag else overrides).append(argument)
    return [rewrite(*_understood(override)) for override in overrides] + flags


def _understood(argument: str) -> "tuple[str, Override]":
    """An override as Hydra's grammar takes it, and what it is.

    An option is its file, too, `model=mmoe.yaml`; a value that the grammar does not take is quoted, `name=größe`.

    Raises:
        UsageError: it is no override, or not one of an option.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from mmoe_repro.settings.ranges import check_option

    parser = OverridesParser.create()
    key, equals, value = argument.partition("=")
    if not key or (not equals and not key.startswith("~")):
        raise UsageError(f"'{argument}': must be setting=value, without spaces")
    if key in _GROUPS:
        argument = re.sub(r"\.yaml(?=[,)]|$)", "", argument)
    try:
        override = parser.parse_override(argument)
    except HydraException:
        if not re.fullmatch(r"[\w@./~+-]+", key):
            raise UsageError(f"'{argument}': must be setting=value, without spaces") from None
        argument = f"{key}={_quoted(value)}"
        override = parser.parse_override(argument)
    if key in _GROUPS and not (override.is_sweep_override() or override.is_delete()):
        check_option(key, override.value())
    if key in _FIXED:
        raise UsageError(f"{argument}: cannot be changed; {_FIXED[key]}")
    return argument, override


def _of_one_job(argument: str, override: "Override") -> str:
    """Of a comma list, its first: what `--cfg` shows is one job."""
    if override.is_discrete_sweep():
        return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"
    return argument


def _of_all_jobs(argument: str, override: "Override") -> str:
    """Adapt an override to how Hydra composes a sweep.

    Its master config is composed with the default model and law, so a fixed `model.width=8` would be refused where only
    the chosen model has that key; as a sweep of one value it is applied to the jobs only.
    """
    key = override.key_or_group
    if override.is_sweep_override():
        if key in ("name", "experiment", "cluster"):
            raise UsageError(f"{key}: one sweep has one {key}; got '{argument}'")
    elif key.startswith(("model.", "data.")) and not argument.endswith("=") and not override.is_delete():
        element = override.get_value_element_as_str()
        # Hydra's choice() takes no null, its comma lists do; what is the same twice is one job.
        return f"{override.get_key_element()}={f'choice({element})' if element != 'null' else 'null,null'}"
    return argument


def _check_own_configs(arguments: list[str]) -> None:
    """Refuse files of a `--config-dir` that Hydra would pass over for built-in ones, or would not name if it failed."""
    from mmoe_repro.settings.schema import folder

    for position, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag not in ("--config-dir", "-cd"):
            continue
        own = Path(value or next(iter(arguments[position + 1 :]), ""))
        if not own.is_dir():
            raise UsageError(f"--config-dir {own}: there is no such folder")
        for path in sorted(own.rglob("*.yaml")):
            if (folder() / path.relative_to(own)).exists():
                raise UsageError(f"{path}: a built-in option has this name; rename the file")
            try:
                path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                raise UsageError(f"{path}: is no text in UTF-8") from None


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
