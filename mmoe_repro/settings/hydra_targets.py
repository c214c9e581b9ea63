"""Classes that a `_target_` names: the program's own, and the user's."""

import difflib
import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from mmoe_repro.errors import UsageError
from mmoe_repro.settings.own_code import explain, is_own_module, shown


def make(group: str, choice: str, settings: Any) -> Any:
    """The object that an option of a group stands for.

    Raises:
        UsageError: it names no class, the class cannot be found, or it does not take these settings.
    """
    if not (isinstance(settings, dict) and "_target_" in settings):
        raise UsageError(f"{group}={choice}: needs a _target_, the dotted name of a class")
    refused = f"{group}={choice}: {settings['_target_']}:"
    try:
        return instantiate(settings)
    except InstantiationException as error:
        reason = _below_hydra(error)
        if isinstance(reason, UsageError):
            named = str(reason).startswith(f"{group}.")
            raise UsageError(str(reason) if named else f"{group}={choice}: {reason}") from None
        wrong = re.search(r"Error (?:loading|locating target) '([^']*)'", str(error.__cause__ or error))
        name = _wrong_name(wrong[1]) if wrong and isinstance(reason, AttributeError | ImportError) else None
        raise UsageError(f"{refused} {name or explain(reason)}") from None
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        raise UsageError(f"{refused} {explain(error)}") from None


def _below_hydra(error: BaseException) -> BaseException:
    """What a user's code raised, below Hydra's own words of it."""
    while error.__cause__ is not None and (
        isinstance(error, InstantiationException) or str(error).startswith("Error loading '")
    ):
        error = error.__cause__
    return error


def _wrong_name(target: str) -> str | None:
    """Say which part of a dotted name is not there, and what may have been meant; None if all of them are."""
    found: Any = None
    parts = target.split(".")
    for number, part in enumerate(parts):
        dotted = ".".join(parts[: number + 1])
        if found is not None and hasattr(found, part):
            found = getattr(found, part)
            continue
        try:
            found = importlib.import_module(dotted)
        except ImportError as error:
            if isinstance(found, ModuleType | None) and getattr(error, "name", None) != dotted:
                return None  # the module is there; something that it imports is not
        except Exception:
            return None
        else:
            continue
        if found is None:
            return f"there is no module '{part}' here{_meant(part, _modules_in(Path()))}"
        file = getattr(found, "__file__", None)
        where = shown(file) if file else ".".join(parts[:number])
        hidden = f"; it hides your own {parts[0]}.py, which needs another name" if _is_hidden(parts[0]) else ""
        return f"{where} has no '{part}'{hidden or _meant(part, _offered(found))}"
    return None


def _meant(word: str, names: list[str]) -> str:
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there is {', '.join(names)}" if names else ""


def _offered(found: Any) -> list[str]:
    """What a user's own module, package or class offers; nothing of anybody else's."""
    if not is_own_module(found if isinstance(found, ModuleType) else inspect.getmodule(found)):
        return []
    inside = [name for folder in getattr(found, "__path__", ()) for name in _modules_in(Path(folder))]
    return sorted({*inside, *(name for name in vars(found) if name[0] != "_" and callable(getattr(found, name)))})


def _modules_in(folder: Path) -> list[str]:
    """Modules and packages in a folder."""
    found = [*folder.glob("*.py"), *(init.parent for init in folder.glob("*/__init__.py"))]
    return sorted({path.stem for path in found if path.stem != "__init__"})


def _is_hidden(module: str) -> bool:
    """Whether another module is found in place of one in the current folder."""
    file = getattr(sys.modules.get(module), "__file__", None)
    own = Path(f"{module}.py").absolute()
    return own.is_file() and file is not None and Path(file) != own


def is_own(settings: Any) -> bool:
    """Whether settings name a class outside this package."""
    target = settings.get("_target_") if isinstance(settings, dict) else None
    return isinstance(target, str) and not target.startswith("mmoe_repro.")
