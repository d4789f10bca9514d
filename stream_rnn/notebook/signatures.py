"""The signature and the docstring that ``help`` shows of a function with generated keywords."""

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any, get_type_hints

LINE_LENGTH = 96
ENTRY = re.compile(r" {4}(\w+): (.*(?:\n {5,}\S.*)*)\n?")


class KeywordSignature(Signature):
    """A signature that is written with one parameter per line."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the parameters and the type of the result."""
        lines = [str(parameter) for parameter in self.parameters.values()]
        kinds = [parameter.kind for parameter in self.parameters.values()]
        if Parameter.KEYWORD_ONLY in kinds:
            lines.insert(kinds.index(Parameter.KEYWORD_ONLY), "*")
        result = inspect.formatannotation(self.return_annotation)
        return "".join(["(\n", *(f"    {line},\n" for line in lines), f") -> {result}"])


def field_parameters(kind: type, names: Sequence[str] = ()) -> list[Parameter]:
    """Return the fields of a class as keyword parameters, without the bounds in their types.

    Args:
        kind: The class.
        names: Names of the fields; empty for all fields.
    """
    types, parameters = get_type_hints(kind), inspect.signature(kind).parameters
    return [
        parameters[name].replace(kind=Parameter.KEYWORD_ONLY, annotation=types[name])
        for name in names or parameters
    ]


def make_signature(
    function: Callable[..., Any], groups: Mapping[str, Sequence[Parameter]]
) -> Signature:
    """Return the signature of a function, with the fields of each group in place of its parameter.

    Args:
        function: The function.
        groups: Fields by the name of the parameter that they replace.
    """
    original = inspect.signature(function)
    plain = [p for name, p in original.parameters.items() if name not in groups]
    fields = [field for group in groups.values() for field in group]
    return KeywordSignature([*plain, *fields], return_annotation=original.return_annotation)


def make_docstring(docstring: str, groups: Mapping[str, Mapping[str, str]]) -> str:
    """Return a docstring, with the fields of each group in place of its line in *Args*.

    Args:
        docstring: Docstring of the function.
        groups: Descriptions of the fields, by the name of the parameter that they replace.
    """
    before, heading, after = inspect.cleandoc(docstring).partition("Args:\n")
    arguments, blank, rest = after.partition("\n\n")
    entries = []
    for name, text in ENTRY.findall(arguments):
        for field, description in groups.get(name, {name: text}).items():
            entry = f"{field}: {' '.join(description.split())}"
            entries += textwrap.wrap(
                entry, LINE_LENGTH, initial_indent=" " * 4, subsequent_indent=" " * 8
            )
    return "".join([before, heading, "\n".join(entries), blank, rest])


def describe_fields(kind: Any) -> dict[str, str]:
    """Return the descriptions of the fields of a class.

    They are those that the options of the command line show, or the lines of *Attributes*.
    """
    attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__pydantic_fields__", {})
    described = {name: field.description for name, field in fields.items() if field.description}
    return dict(ENTRY.findall(attributes)) | described
