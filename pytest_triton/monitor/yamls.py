"""YAML that somebody hands in: bounded, and with the line of every mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError

MOST_BYTES, MOST_ALIASES = 4 << 20, 100
#: Key under which a mapping tells its line.
LINE = "__line__"


class Unreadable(Exception):
    """A file that is not what it has to be, and where: ``path`` and ``line`` (0: all of it)."""

    def __init__(self, path: Path, text: str, line: int = 0) -> None:
        super().__init__(f"{path.name}:{line}: {text}" if line else f"{path.name}: {text}")
        self.path, self.line = path, line


def read_yaml(path: Path) -> Any:
    """The document of a file; mappings have their line under :data:`LINE`. Raises Unreadable."""
    documents = read_yaml_all(path)
    if len(documents) > 1:
        raise Unreadable(path, f"holds {len(documents)} documents")
    return documents[0] if documents else None


def read_yaml_all(path: Path) -> list[Any]:
    """The documents of a file, as :func:`read_yaml` gives one."""
    try:
        import yaml
    except ImportError:
        raise ToolError("PyYAML is not installed", "pip install 'pytest-triton[monitor]'") from None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Unreadable(path, f"over {MOST_BYTES >> 20} MiB")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise Unreadable(path, error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise Unreadable(path, "is not text in UTF-8") from None

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            found = super().construct_mapping(node, deep=True)
            found[LINE] = node.start_mark.line + 1
            return found

    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader))
        if aliases > MOST_ALIASES:  # each may stand for many others
            raise Unreadable(path, f"{aliases} aliases are too many")
        return list(yaml.load_all(text, Loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise Unreadable(path, f"no YAML: {problem}", mark.line + 1 if mark else 0) from None
    except (RecursionError, ValueError, TypeError) as error:
        raise Unreadable(path, f"no YAML: {str(error)[:200] or 'nested too deep'}") from None


def plain(value: Any) -> Any:
    """A document without the lines."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key != LINE}
    return [plain(each) for each in value] if isinstance(value, list) else value


def mappings(value: Any) -> list[dict[str, Any]]:
    """The mappings of a list, whatever else is in it."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
