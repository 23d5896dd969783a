"""Loading a study as a module, at the sizes a test asks for."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

STUDIES = Path(__file__).parent.parent / "studies"


def load(study: str | Path, **constants: Any) -> ModuleType:
    """A study as a fresh module, without running it; `constants` replace its CAPITALS."""
    path = study if isinstance(study, Path) else STUDIES / f"{study}.py"
    name = f"studies_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look it up
    spec.loader.exec_module(module)
    unknown = set(constants) - set(vars(module))
    assert not unknown, f"{path.name} has no constants {unknown}"
    vars(module).update(constants)
    return module
