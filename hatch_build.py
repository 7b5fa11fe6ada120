"""Compiles the kernel program: when a wheel is built, at an editable installation, or by hand.

    python3 hatch_build.py          in a checkout: the object file beside its source

The compiler is `ziglang` from PyPI, a requirement of the build; by hand, clang does as well.  No object file
lies in the repository, and none is needed for the tools or the datapath in Python: with TRUNKLINE_NO_BPF=1 in
the environment the package is built without it, and the switch says so when it starts.  Otherwise a build
that finds no compiler, or whose compiler finds fault, fails.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # by hand
    BuildHookInterface = object

DIRECTORY = Path("src", "trunkline", "bpf", "program")
SOURCE = "datapath.bpf.c"
OBJECT = "datapath.bpf.o"
SWITCH = "TRUNKLINE_NO_BPF"
FLAGS = ("-O2", "-g", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-fno-stack-protector", "-mcpu=v3")
TARGETS = {"little": "bpfel", "big": "bpfeb"}


class NoCompilerError(Exception):
    """There is none on this machine."""


def compiler() -> list[str]:
    """The start of the command.  Raises NoCompilerError."""
    target = TARGETS[sys.byteorder]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{target}-freestanding"]
    for name, words in (("zig", ["cc", "-target", f"{target}-freestanding"]), ("clang", ["-target", target])):
        path = shutil.which(name)
        if path:
            return [path, *words]
    raise NoCompilerError(
        "no compiler for the kernel program: install ziglang (pip install ziglang) or clang, "
        f"or set {SWITCH}=1 to do without the kernel datapath"
    )


def build(root: Path, output: Path | None = None) -> Path:
    """The object file.  Raises NoCompilerError, subprocess.CalledProcessError."""
    directory = root / DIRECTORY
    output = (output or directory / OBJECT).resolve()
    command = compiler()
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch, OBJECT)
        environment = dict(os.environ)
        environment.setdefault("ZIG_GLOBAL_CACHE_DIR", scratch)
        environment.setdefault("ZIG_LOCAL_CACHE_DIR", scratch)
        # Relative names only: the same source gives the same file wherever it is built.
        places = ["-fdebug-compilation-dir=.", "-c", SOURCE, "-o", str(result)]
        subprocess.run([*command, *FLAGS, *places], cwd=directory, env=environment, check=True)
        fresh = output.with_name(f"{output.name}.{os.getpid()}")
        shutil.copyfile(result, fresh)
        fresh.replace(output)
    return output


class CustomBuildHook(BuildHookInterface):
    """What hatchling calls; for wheels and editable installations alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        target = Path(self.root, DIRECTORY, OBJECT)
        if os.environ.get(SWITCH) == "1":
            target.unlink(missing_ok=True)
            self.app.display_warning(f"{SWITCH}=1: built without the kernel datapath")
            return
        try:
            build(Path(self.root))
        except NoCompilerError as error:
            self.app.abort(str(error))
        except subprocess.CalledProcessError as error:
            self.app.abort(f"the kernel program does not compile (status {error.returncode})")
        build_data["artifacts"].append(f"/{DIRECTORY / OBJECT}")


if __name__ == "__main__":
    try:
        print(build(Path(__file__).parent))
    except NoCompilerError as problem:
        sys.exit(f"hatch_build.py: {problem}")
    except subprocess.CalledProcessError as problem:
        sys.exit(problem.returncode)
