"""Name -> class, for codecs, metrics and sources: built in, from entry points, or by path.

Nothing is imported until its name is asked for, so `nacbench --help` stays fast and a broken
plug-in breaks only itself.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nacbench.errors import UserError

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'si_sdr'?`, or nothing when no known name is close."""
    if len(name) > 80:
        return ""  # no name of ours is, and comparing takes its time
    squashed = {_squash(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_squash(name), squashed, n=1, cutoff=0.6)
    return f" Did you mean '{squashed[close[0]]}'?" if close else ""


class Registry:
    """The classes of one kind, by name.

    Args:
        kind: "codec", "metric", … for messages.
        group: entry-point group that third parties register under.
        builtin: name -> "module:Class".
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)
        self._added: dict[str, type] = {}

    def names(self) -> list[str]:
        """Every registered name, sorted. Imports none of them."""
        return sorted({*self._builtin, *self._added, *self._plugins()})

    def add(self, name: str, factory: type) -> None:
        """Register a class for this process (tests, notebooks)."""
        self._added[name] = factory

    def get(self, name: str) -> type:
        """The class registered as `name`, or addressed as `package.module:Class`.

        Raises:
            UserError: the name is unknown, or its module cannot be imported.
        """
        if name in self._added:
            return self._added[name]
        if name in self._builtin:
            return self._load(self._builtin[name], name)
        plugins = self._plugins()
        if name in plugins:
            return self._load(plugins[name].value, name)
        module, _, attribute = name.partition(":")
        if attribute.isidentifier() and ("." in module or _is_module(module)):
            return self._load(name, name)
        raise UserError(
            f"unknown {self.kind} '{name}'.{did_you_mean(name, self.names())} "
            f"'nacbench list {self.kind}s' shows all."
        )

    def create(self, name: str, options: Mapping[str, Any]) -> Any:
        """An instance of the class registered as `name`, from its keyword options.

        Raises:
            UserError: an unknown name or option, a missing option, or a value the class refuses.
        """
        factory = self.get(name)
        parameters = inspect.signature(factory).parameters.values()
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        known = [parameter.name for parameter in parameters if parameter.kind not in _VARIADIC]
        for option in options:
            if option not in known and not takes_any:
                raise UserError(
                    f"{self.kind} '{name}': unknown option '{option}'."
                    f"{did_you_mean(option, known)} It takes: {', '.join(known) or 'none'}."
                )
        for parameter in parameters:
            required = parameter.default is parameter.empty and parameter.kind not in _VARIADIC
            if required and parameter.name not in options:
                raise UserError(f"{self.kind} '{name}': option '{parameter.name}' is missing.")
        try:
            return factory(**options)
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.kind} '{name}': {error}.") from error

    def split(self, name: str) -> tuple[str, dict[str, Any]]:
        """`pcm:8` -> ("pcm", {"bits": 8}) where the class says which option `:value` sets.

        A full name (`mel:dac`) or a `package.module:Class` is returned as it is.
        """
        base, colon, value = name.partition(":")
        if not colon or name in self.names() or base not in self.names():
            return name, {}
        argument = getattr(self.get(base), "argument", None)
        if argument is None:
            raise UserError(f"{self.kind} '{base}' takes no ':{value}'. Write '{base}'.")
        return base, {argument: _number_or_text(value)}

    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def _load(self, target: str, name: str) -> type:
        module, _, attribute = target.partition(":")
        try:
            loaded = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # a broken plug-in breaks only itself
            raise UserError(
                f"{self.kind} '{name}' cannot be loaded from '{target}': {error}. "
                "Check that its package is installed and the path is spelt right."
            ) from error
        if not isinstance(loaded, type):
            raise UserError(f"{self.kind} '{name}': '{target}' is not a class.")
        return loaded


def _is_module(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(name) is not None


def _squash(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _number_or_text(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
