"""A user's own code: the files that a law or a model rests on, and the line of them that went wrong.

Own is what comes neither from an installed package, nor from Python, nor from this program. Which files count is found
in two ways, since neither sees everything: by watching what is run, imported and read while a law and a model are made
and used, and by following the `import` statements and the names of files in the code itself.
"""

import ast
import builtins
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from mmoe_repro.errors import one_line

#: This program's own folder.
_PROGRAM = Path(__file__).resolve().parents[1]
#: Where nothing is a user's: Python, this program, the system.
_FOREIGN = tuple(
    f"{folder}{os.sep}"
    for folder in {
        *(os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")),
        str(_PROGRAM),
        str(_PROGRAM.with_name("hydra_plugins")),
        *("/proc", "/sys", "/dev", "/etc", "/usr/lib", "/usr/share"),
    }
)
_PACKAGES = {"site-packages", "dist-packages"}


def _own_path(name: str) -> Path | None:
    """The path of an own file by its name, which need not exist; None for any other."""
    return None if name.startswith("<") else _unless_foreign(os.path.abspath(name))  # <…> lies in no file


@cache
def _unless_foreign(name: str) -> Path | None:
    path = Path(name)
    return None if name.startswith(_FOREIGN) or not _PACKAGES.isdisjoint(path.parts) else path


def is_own_module(module: Any) -> bool:
    """Whether a Python module is a user's own."""
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and _own_path(file) is not None


def own_targets(settings: Any) -> list[str]:
    """The `_target_` names outside this program, however deep they lie in settings."""
    if isinstance(settings, Mapping):
        named = settings.get("_target_")
        mine = [named] if isinstance(named, str) and not named.startswith("mmoe_repro.") else []
        return mine + own_targets(list(settings.values()))
    if isinstance(settings, list | tuple):
        return [target for item in settings for target in own_targets(item)]
    return []


@dataclass
class Seen:
    """Own files that were seen while somebody watched.

    Attributes:
        used: run, imported or read.
        written: opened for writing; what a program makes itself does not decide what it does.
    """

    used: set[Path] = field(default_factory=set)
    written: set[Path] = field(default_factory=set)


def sources(settings: Any, seen: Seen) -> dict[str, str]:
    """Hashes of the own files that decide what settings come to, by their names.

    Args:
        settings: of a model, a law or both.
        seen: while they were made and used.
    """
    named = [file for target in own_targets(settings) for file in _files_of_module(target)]
    words = [path for word in _words(settings) if (path := _data_file(word, Path())) is not None]
    files = _closure([*named, *words, *seen.used]) - seen.written
    return {_name(file): hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in sorted(files)}


def _name(path: Path) -> str:
    """A file's path from the folder in which Python finds it, so that it does not change with the machine."""
    found_from = [Path(entry or os.curdir).absolute() for entry in ["", *sys.path]]
    inside = [folder for folder in found_from if path.is_relative_to(folder)]
    return path.relative_to(max(inside, key=lambda one: len(one.parts))).as_posix() if inside else path.as_posix()


# -- what code says -------------------------------------------------------------------------------


def _closure(files: Iterable[Path]) -> set[Path]:
    """Files, those that they import or name, and those that they were seen to load while they were imported."""
    importlib.invalidate_caches()
    found: set[Path] = set()
    to_see = list(files)
    while to_see:
        file = to_see.pop()
        if file not in found and file.is_file():
            found.add(file)
            to_see += [*_at_import.get(file, ()), *_named_in(file)]
    return found


def _named_in(file: Path) -> set[Path]:
    """Own files that a Python file imports, anywhere in it, or whose name it holds as a string."""
    if file.suffix != ".py":
        return set()
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    found: set[Path] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    found.update(_files_of_module(alias.name))
            case ast.ImportFrom(module=module, names=names, level=level):
                for alias in names:
                    dotted = f"{module}.{alias.name}" if module else alias.name
                    found.update(_files_in(file.parents[level - 1], dotted) if level else _files_of_module(dotted))
            case ast.Call(func=ast.Name() | ast.Attribute() as called, args=[ast.Constant(value=str(dotted)), *_]):
                if (called.id if isinstance(called, ast.Name) else called.attr) in ("import_module", "__import__"):
                    level = len(dotted) - len(dotted.lstrip("."))
                    rest = dotted.lstrip(".")
                    found.update(_files_in(file.parents[level - 1], rest) if level else _files_of_module(rest))
            case ast.Constant(value=str(word)):
                found.update(path for folder in (Path(), file.parent) if (path := _data_file(word, folder)))
    return found


def _files_of_module(dotted: str) -> list[Path]:
    """Own files that importing a dotted name runs: of the module, if there is one, and of the packages around it."""
    top, _, rest = dotted.partition(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        # `__main__` has no spec.
        spec = None
    if spec is None:
        file = getattr(sys.modules.get(top), "__file__", None)
        return [path] if file and (path := _own_path(file)) else []
    folders = list(spec.submodule_search_locations or [])
    first = [path] if spec.origin and (path := _own_path(spec.origin)) else []
    if not first and not any(_own_path(os.path.join(folder, "x")) for folder in folders):
        return []
    return first + [path for folder in folders if rest for path in _files_in(Path(folder), rest)]


def _files_in(folder: Path, dotted: str) -> list[Path]:
    """Own files that importing a dotted name from a package's folder runs, without running them."""
    found = [path] if (path := _own_path(str(folder / "__init__.py"))) and path.is_file() else []
    for part in dotted.split("."):
        spec = importlib.machinery.PathFinder.find_spec(part, [str(folder)])
        if spec is None:
            break
        if spec.origin and (path := _own_path(spec.origin)):
            found.append(path)
        if not spec.submodule_search_locations:
            break
        folder = Path(next(iter(spec.submodule_search_locations)))
    return found


def _words(settings: Any) -> Iterator[str]:
    """The strings in settings."""
    if isinstance(settings, Mapping):
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for item in settings:
            yield from _words(item)
    elif isinstance(settings, str):
        yield settings


def _data_file(word: str, folder: Path) -> Path | None:
    """The own file that a string names, if there is one."""
    if not word or len(word) > 255 or not word.isprintable():
        return None
    path = _own_path(str(folder / word))
    try:
        return path if path is not None and path.is_file() else None
    except OSError:
        return None


# -- what code does -------------------------------------------------------------------------------

#: None while nobody watches.
_seen: Seen | None = None
#: What own files were seen to load while they were imported, which happens only once in a process.
_at_import: dict[Path, set[Path]] = {}
_hooked = False


@contextmanager
def watching() -> Iterator[Seen]:
    """Watch which own files are run, imported or read."""
    global _seen, _hooked
    if not _hooked:
        sys.addaudithook(_on_event)  # never to be removed, so it looks first whether anyone watches
        _hooked = True
    before, profiler, importer = _seen, sys.getprofile(), builtins.__import__
    _seen = Seen()
    codes: set[CodeType] = set()

    def on_call(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call":
            return
        if code is importlib.import_module.__code__:
            _on_import(frame.f_locals.get("name"), frame.f_locals.get("package"), frame)
        elif code not in codes:
            codes.add(code)
            if (path := _own_path(code.co_filename)) is not None:
                _note(path, frame.f_back)

    def on_import(name: str, *arguments: Any, **named: Any) -> Any:
        module, frame = importer(name, *arguments, **named), sys._getframe(1)
        level = named.get("level", arguments[3] if len(arguments) > 3 else 0)
        if level == 0 and _own_path(frame.f_code.co_filename) is not None:
            _on_import(name, None, frame)
        return module

    if profiler is None:  # a profiler that somebody runs stays
        sys.setprofile(on_call)
    builtins.__import__ = on_import
    try:
        yield _seen
    finally:
        builtins.__import__ = importer
        if profiler is None:
            sys.setprofile(None)
        _seen = before


def _note(path: Path, frame: FrameType | None) -> None:
    """Note a file, for the watch and for the own modules that are just being imported."""
    if _seen is None:
        return
    _seen.used.add(path)
    while frame is not None and not frame.f_code.co_filename.startswith(str(_PROGRAM)):
        if frame.f_code.co_name == "<module>" and (importing := _own_path(frame.f_code.co_filename)) is not None:
            _at_import.setdefault(importing, set()).add(path)
        frame = frame.f_back


def _on_import(name: Any, package: Any, frame: FrameType) -> None:
    """Note a module that is asked for by name: one that is loaded already would not be seen otherwise."""
    if not isinstance(name, str):
        return
    try:
        dotted = importlib.util.resolve_name(name, package)
    except (ImportError, ValueError, TypeError):
        return
    for path in _files_of_module(dotted):
        _note(path, frame)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Note the files that are opened."""
    if _seen is None or event not in ("open", "sqlite3.connect", "ctypes.dlopen"):
        return
    name = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
    if not name or name.endswith(".pyc") or (path := _own_path(name)) is None:
        return
    flags = arguments[2] if event == "open" and isinstance(arguments[2], int) else os.O_RDONLY
    if flags & (os.O_WRONLY | os.O_RDWR):
        _seen.written.add(path)
    elif _asked_for(frame := sys._getframe(1)):
        _note(path, frame)


def _asked_for(frame: FrameType | None) -> bool:
    """Whether own code or a setting asked for a file, and not Python's import or an installed package's."""
    innermost = True
    while frame is not None:
        name = frame.f_code.co_filename
        if innermost and (name.startswith("<frozen importlib") or name.endswith(("linecache.py", "tokenize.py"))):
            return False
        innermost = False
        if _own_path(name) is not None or name.startswith(str(_PROGRAM)):
            return True
        if frame.f_code.co_name == "<module>":
            return False
        frame = frame.f_back
    return True


# -- what went wrong ------------------------------------------------------------------------------


def explain(error: BaseException) -> str:
    """An error in one line: its kind and message, and before them the own file and line that it comes from.

    Of several own lines that were on their way it names the innermost.
    """
    if isinstance(error, SyntaxError) and error.filename and _own_path(error.filename) is not None:
        line = f", line {error.lineno}" if error.lineno else ""
        return f"{shown(error.filename)}{line}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _own_path(frame.filename) is not None]
    where = f"{shown(own[-1].filename)}, line {own[-1].lineno}: " if own else ""
    return where + one_line(error)


def shown(file: str) -> str:
    """A file's path as the user would type it."""
    path = Path(file).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
