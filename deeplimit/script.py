"""Scripts: a study's file with changes of its constants, as every process loads it."""

from __future__ import annotations

import importlib.util
import linecache
import sys
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from deeplimit import canonical, imports
from deeplimit import changes as changes_


@dataclass(frozen=True)
class Script:
    """A study's file.

    Attributes
    ----------
    file, text
        Its path and its content.
    changes
        Constants that replace those of the file.
    derived
        Whether they do so in all that the file makes of them, as `--set` does, or only where they are read, as
        `--quick` does.
    """

    file: str
    text: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    derived: bool = False

    @cached_property
    def identity(self) -> str:
        """Fingerprint of file, text and changes."""
        return canonical.of_text([self.file, self.text, canonical.plain(dict(self.changes)), self.derived])

    def freeze(self) -> None:
        """Let whoever asks for the source of the file's functions get this text, even when the file has changed."""
        linecache.cache[self.file] = (len(self.text), None, self.text.splitlines(keepends=True), self.file)

    def load(self) -> ModuleType:
        """The file as a module, without running its `main`.

        Raises
        ------
        Exception
            Whatever the file raises.
        """
        name = f"{imports.STUDY_MODULES}{Path(self.file).stem}"
        module = ModuleType(name)
        module.__file__ = self.file
        module.__spec__ = importlib.util.spec_from_loader(name, None, origin=self.file)
        self.freeze()
        sys.modules[name] = module  # dataclasses and pickles look it up
        exec(compile(self.text, self.file, "exec"), vars(module))  # a study is code, and is run as such
        if self.derived:
            changes_.applied(vars(module), self.changes, self.text)
        else:
            vars(module).update(self.changes)
        return module


def read(file: str | Path, changes: Mapping[str, Any] | None = None, derived: bool = False) -> Script:
    """The script of a file as it is now.

    Raises
    ------
    OSError, UnicodeDecodeError, SyntaxError
        If it cannot be read.
    """
    with tokenize.open(file) as lines:  # in the encoding that the file declares
        return Script(str(file), lines.read(), dict(changes or {}), derived)
