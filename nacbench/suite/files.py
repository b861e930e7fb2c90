"""Where suites lie, and `extends`: one file that builds on another."""

from __future__ import annotations

import os
from pathlib import Path

from nacbench.errors import UserError
from nacbench.registry import did_you_mean
from nacbench.suite.document import MAX_BYTES, Document, parse

MAX_EXTENDS = 8


def folders() -> list[Path]:
    """Where a suite is looked up by name: `suites/` here, then those that come with the package.

    `nacbench/suites` is a link to the project's `suites/`, so that a wheel carries them too.
    """
    return [Path("suites"), Path(__file__).parents[1] / "suites"]


def names() -> list[str]:
    """Every suite that can be run by name, sorted."""
    return sorted(
        {
            path.relative_to(folder).with_suffix("").as_posix()
            for folder in folders()
            for path in folder.rglob("*.yaml")
        }
    )


def find(suite: str | Path) -> Path:
    """The file of a suite given as a path or by name.

    Raises:
        UserError: there is none.
    """
    path = Path(suite)
    if path.is_file():
        return path
    if path.suffix not in (".yaml", ".yml") and not path.is_absolute() and ".." not in path.parts:
        for folder in folders():
            candidate = folder / f"{suite}.yaml"
            if candidate.is_file():
                return _short(candidate)
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Give a suite file, or '--audio {path}' with one.")
    hint = did_you_mean(str(suite).removeprefix("suites/").removesuffix(".yaml"), names())
    raise UserError(f"{path}: no such suite.{hint} 'nacbench list suites' shows all.")


def _short(path: Path) -> Path:
    """Relative to the working directory where that is shorter, for messages."""
    relative = Path(os.path.relpath(path))
    return relative if len(str(relative)) < len(str(path)) else path


def read(path: Path) -> Document:
    """The document of a suite file, its `extends` followed: own keys replace the base's.

    Raises:
        UserError: a file is missing or unreadable, or `extends` goes round in a circle.
    """
    return _read(path, ())


def _read(path: Path, readers: tuple[Path, ...]) -> Document:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}).") from error
    document = parse(text, str(path))
    base_name = document.content.pop("extends", None)
    if base_name is None:
        return document
    if not isinstance(base_name, str):
        document.note(("extends",), "expected the path of a suite file.")
        return document
    base_path = Path(os.path.normpath(path.parent / base_name))
    readers = (*readers, path.resolve())
    if base_path.resolve() in readers or len(readers) > MAX_EXTENDS:
        document.note(("extends",), f"'{base_name}' leads back here or too deep.")
        return document
    if not base_path.is_file():
        document.note(("extends",), f"there is no file {base_path}. Paths start at this file.")
        return document
    return _merge(document, _read(base_path, readers))


def _merge(own: Document, base: Document) -> Document:
    lines = {
        place: at for place, at in base.lines.items() if place[:1] and place[0] not in own.content
    }
    return Document(
        own.file,
        {**base.content, **own.content},
        {**lines, **own.lines},
        [*base.problems, *own.problems],
    )
