"""Whether the program works with the lowest versions that pyproject.toml allows.

    python3.11 scripts/lowest.py              a small sweep and its report; about three minutes, most of them installing
    python3.11 scripts/lowest.py --tests      the test suite as well

Run it with the lowest Python that pyproject.toml allows, after a change of its bounds or when the program starts to use
something new of a dependency; raise the bound of whatever fails. The pins are read from pyproject.toml. It makes a
virtual environment in a temporary folder and removes it at the end.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Trains three models in two processes, the step uncompiled, and judges the claims.
SWEEP = (
    *("mmoe-repro", "sweep", "training.steps=200", "training.window=50", "training.batch_size=32"),
    *("data.correlation=0.5", "runs=3", "workers=1"),
)
#: Trains one model long enough for its step to be compiled.
COMPILED_SWEEP = (
    *("mmoe-repro", "sweep", "model=mmoe", "training.steps=2000", "training.batch_size=16", "data.dimension=10"),
    *("data.correlation=0.5", "runs=3", "workers=1", "name=compiled"),
)
COMMANDS = (
    SWEEP,
    COMPILED_SWEEP,
    ("mmoe-repro", "report", "results/sweep"),
    ("mmoe-repro", "correlation", "trials=3", "points=500"),
    ("mmoe-repro", "models"),
    ("mmoe-repro", "data"),
)


def pins(requirements: list[str]) -> list[str]:
    """The lowest version that each requirement allows, pinned.

    >>> pins(["hydra-core>=1.3.2,<1.4", "torch>=2.13"])
    ['hydra-core==1.3.2', 'torch==2.13']
    """
    found = []
    for requirement in requirements:
        match = re.fullmatch(r"([\w.-]+)>=([\w.]+)(,.*)?", requirement)
        if match is None:
            raise ValueError(f"{requirement}: has no lower bound")
        found.append(f"{match[1]}=={match[2]}")
    return found


def main() -> None:
    """Install, run the commands, and stop at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", action="store_true", help="run the test suite as well")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["requires-python"].removeprefix(">=")
    if sys.version_info[:2] != tuple(map(int, wanted.split("."))):
        print(f"this is Python {sys.version.split()[0]}; the lowest allowed is {wanted}", file=sys.stderr)
    lowest = pins(project["dependencies"])
    print(*lowest, sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder, "venv"), with_pip=True)
        tools = Path(folder, "venv", "bin")
        environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder, "compiled"))
        environment.pop("PYTHONPATH", None)

        def run(*command: str, cwd: Path = Path(folder)) -> None:
            print("+", *command, flush=True)
            subprocess.run([tools / command[0], *command[1:]], cwd=cwd, env=environment, check=True)

        Path(folder, "pins.txt").write_text("\n".join(lowest) + "\n")
        what = f"{ROOT}[dev]" if options.tests else str(ROOT)
        run("python", "-m", "pip", "install", "--quiet", "--constraint", "pins.txt", what)
        for command in COMMANDS:
            run(*command)
        if options.tests:
            run("python", "-m", "pytest", "-q", cwd=ROOT)
    print("works with the lowest versions allowed")


if __name__ == "__main__":
    main()
