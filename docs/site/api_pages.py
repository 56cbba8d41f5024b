"""Pages of the API: one for each package and module of the library, from signatures and docstrings.

griffe parses the files and imports none, so that no page needs TensorFlow. The docstrings are Markdown with Google's
sections, and so are the pages.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import griffe

FOLDER = "docs/api"
"""Of the pages, below the project."""
_LONGEST = 120
"""Characters of a constant's value that is shown."""
_FENCES = {"class": "~~~~~", "function": "~~~~", "method": "~~~~"}
"""Of directives: longer around a class than around its methods."""


def page_of(target: Path, root: Path) -> str | None:
    """The page of a file or folder of the library, below the project; None for anything else.

    Args:
        target: absolute.
        root: the project.
    """
    try:
        parts = target.relative_to(root).with_suffix("").parts
    except ValueError:
        return None
    python = target.suffix == ".py" or (target / "__init__.py").exists()
    if parts[:1] != ("pipeline",) or not python:
        return None
    return f"{FOLDER}/{'.'.join(part for part in parts if part != '__init__')}.md"


def write(package: Path, folder: Path) -> None:
    """Write the pages of a package and of all that is in it, and remove any others.

    Args:
        package: with `__init__.py`.
        folder: of the pages.
    """
    folder.mkdir(exist_ok=True)
    loader = griffe.GriffeLoader(
        search_paths=[str(package.parent)],
        docstring_parser="google",
        docstring_options={"warn_missing_types": False},
        allow_inspection=False,
    )
    pages = {folder / f"{module.path}.md": _page(module) for module in _modules(loader.load(package.name))}
    for page in set(folder.iterdir()) - set(pages):
        page.unlink()
    for page, text in pages.items():
        # Sphinx reads again what is newer.
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def _modules(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for inner in _inner(module):
        yield from _modules(inner)


def _inner(module: griffe.Module) -> list[griffe.Module]:
    # A module that another one imports is an alias there.
    return [inner for _, inner in sorted(module.modules.items()) if not inner.is_alias]


def _page(module: griffe.Module) -> str:
    return "\n".join([f"# {module.path}", "", *_docstring(module), *_toctree(module), *_members(module), ""])


def _toctree(module: griffe.Module) -> list[str]:
    entries = [f"{inner.name} <{inner.path}>" for inner in _inner(module)]
    if not entries:
        return []
    return ["```{toctree}", ":maxdepth: 1", "", *entries, "```", ""]


def _members(owner: griffe.Module | griffe.Class) -> list[str]:
    """What is public and defined here: constants first, then classes and functions in the order of the file."""
    public = [
        member
        for name, member in owner.members.items()
        if not name.startswith("_") and not member.is_alias and not member.is_module
    ]
    lines = [_attribute(member) for member in public if isinstance(member, griffe.Attribute) and _is_shown(member)]
    lines = [*lines, ""] if lines else []
    for member in public:
        if isinstance(member, griffe.Class):
            lines += _object(member, "class", _class_signature(member), [*_docstring(member), *_members(member)])
        elif isinstance(member, griffe.Function):
            kind = "method" if isinstance(owner, griffe.Class) else "function"
            lines += _object(member, kind, _signature(member), _docstring(member))
    return lines


def _is_shown(attribute: griffe.Attribute) -> bool:
    # What the section `Attributes` of a class says need not be said again.
    parent = attribute.parent
    if attribute.docstring is None and isinstance(parent, griffe.Class) and parent.docstring is not None:
        listed = [
            section for section in parent.docstring.parsed if section.kind is griffe.DocstringSectionKind.attributes
        ]
        return not any(attribute.name == item.name for section in listed for item in section.value)
    return True


def _object(member: griffe.Class | griffe.Function, kind: str, signature: str, content: Iterable[str]) -> list[str]:
    fence = _FENCES[kind]
    options = [":no-index-entry:"] if kind == "method" else []
    if kind == "method":
        options += [f":{label}:" for label in ("classmethod", "staticmethod") if label in member.labels]
        options += [":abstractmethod:"] if "abstractmethod" in member.labels else []
    return [f"{fence}{{py:{kind}}} {signature}", f":module: {_module_of(member)}", *options, "", *content, fence, ""]


def _module_of(member: griffe.Object) -> str:
    return member.module.path


def _class_signature(found: griffe.Class) -> str:
    made = found.members.get("__init__")
    if isinstance(made, griffe.Function):
        return f"{found.name}{_parameters(made)}"
    return found.name


def _signature(function: griffe.Function) -> str:
    name = function.path.removeprefix(f"{_module_of(function)}.")
    returns = "" if function.returns is None else f" -> {function.returns}"
    return f"{name}{_parameters(function)}{returns}"


def _parameters(function: griffe.Function) -> str:
    """The parameters as in the source, without `self`."""
    shown: list[str] = []
    kinds = griffe.ParameterKind
    starred = False
    parameters = [parameter for parameter in function.parameters if parameter.name not in ("self", "cls")]
    for index, parameter in enumerate(parameters):
        if parameter.kind is kinds.keyword_only and not starred:
            shown.append("*")
            starred = True
        stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(parameter.kind, "")
        starred = starred or stars == "*"
        text = f"{stars}{parameter.name}"
        text += "" if parameter.annotation is None else f": {parameter.annotation}"
        if parameter.default is not None and not stars:
            text += f"={parameter.default}"
        shown.append(text)
        positional = parameter.kind is kinds.positional_only
        if positional and (index + 1 == len(parameters) or parameters[index + 1].kind is not kinds.positional_only):
            shown.append("/")
    return f"({', '.join(shown)})"


def _attribute(attribute: griffe.Attribute) -> str:
    text = f"- `{attribute.name}`"
    if attribute.annotation is not None:
        text += f": `{attribute.annotation}`"
    value = "" if attribute.value is None else str(attribute.value)
    if value and "\n" not in value and len(value) <= _LONGEST and "`" not in value:
        text += f" = `{value}`"
    return text if attribute.docstring is None else f"{text}. {_indented(attribute.docstring.value)}"


def _docstring(member: griffe.Object) -> list[str]:
    if member.docstring is None:
        return []
    kinds = griffe.DocstringSectionKind
    titles = {
        kinds.parameters: "Args",
        kinds.attributes: "Attributes",
        kinds.raises: "Raises",
        kinds.returns: "Returns",
    }
    titles[kinds.yields] = "Yields"
    lines: list[str] = []
    for section in member.docstring.parsed:
        if section.kind is kinds.text:
            lines += [section.value, ""]
        elif section.kind in titles:
            lines += [f"**{titles[section.kind]}**", "", *(_item(section.kind, item) for item in section.value), ""]
        else:
            raise ValueError(
                f"{member.path}: section {section.kind.value} found, expected {', '.join(titles.values())}"
            )
    return lines


def _item(kind: griffe.DocstringSectionKind, item: griffe.DocstringElement) -> str:
    name = "" if kind.value in ("returns", "yields") else getattr(item, "name", "")
    if kind is griffe.DocstringSectionKind.raises:
        name = str(item.annotation)
    description = _indented(item.description)
    return f"- `{name}`: {description}" if name else f"- {description}"


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n  ")
