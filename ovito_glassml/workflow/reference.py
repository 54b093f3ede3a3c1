"""The reference of a modifier, read from its class: the docstring, its parameters and the texts below them.

The pages in ``docs``, ``glassml modifiers show`` and the help in OVITO's panel are made from it, so that there is one
text.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from traits.api import Enum, Range

from ovito_glassml.modifiers.registry import Entry, Modifier

__all__ = ["Block", "Parameter", "help_text", "markdown", "parameters_of", "printed", "read_blocks", "with_help"]

#: Columns of a terminal.
WIDTH = 80


@dataclass(frozen=True)
class Parameter:
    """One parameter of a modifier.

    Attributes
    ----------
    name : str
        In Python and for ``--set``.
    label : str
        In OVITO, with the unit.
    group : str
        Heading in OVITO's panel.
    values : str
        What it may be, in words.
    default, text : str
        From the text below it in the source.
    """

    name: str
    label: str
    group: str
    values: str
    default: str
    text: str


@dataclass(frozen=True)
class Block:
    """A part of a docstring.

    Attributes
    ----------
    kind : {'text', 'heading', 'item', 'code'}
    text : str
        On one line, but for code.
    """

    kind: str
    text: str


def parameters_of(entry: Entry) -> list[Parameter]:
    """All parameters of a modifier, in the order of its source."""
    modifier = entry.load()
    instance, texts = modifier(), _texts_below(modifier)
    names = set(instance.editable_traits())
    return [_parameter(instance.trait(name), name, text) for name, text in texts.items() if name in names]


def help_text(entry: Entry) -> str:
    """What OVITO's panel shows as help, a comment at the top of the file: the first two paragraphs of the docstring."""
    text = " ".join(_bare(block.text) for block in read_blocks(entry.load().__doc__ or "")[:2])
    return "\n".join([f"##### Glass ML: {entry.title} #####", "#", *_wrapped(text, "# "), ""])


def with_help(source: str, text: str) -> str:
    """Source code with this comment at its top, in place of one that was there."""
    return text + re.sub(r"\A(?:#.*\n)*", "", source)


def read_blocks(docstring: str) -> list[Block]:
    """Paragraphs, headings (``Outputs:``), items and indented code (after ``::``) of a docstring."""
    blocks: list[Block] = []
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        is_code = blocks and blocks[-1].text.endswith("::")
        if is_code:
            blocks[-1] = Block("text", re.sub(r" ::$|(?<=:):$", "", blocks[-1].text))
            blocks.append(Block("code", textwrap.dedent(paragraph).strip("\n")))
        elif paragraph.startswith("* "):
            blocks += [Block("item", _one_line(item)) for item in re.split(r"(?m)^\* ", paragraph)[1:]]
        elif paragraph.startswith(">>> "):
            blocks.append(Block("code", paragraph))
        elif re.fullmatch(r"Outputs[\w ]*:", paragraph):
            blocks.append(Block("heading", paragraph[:-1]))
        else:
            blocks.append(Block("text", _one_line(paragraph)))
    return blocks


def printed(entry: Modifier) -> str:
    """The reference of a modifier for a terminal of 80 columns."""
    lines = [
        entry.title,
        "=" * len(entry.title),
        *_wrapped(f"OVITO's list: Glass ML: {entry.title}"),
        *_wrapped(f"Python: from ovito_glassml import {entry.class_name}"),
        *_wrapped(f"Command line: glassml apply FILE --modifier {entry.name} -o OUTPUT"),
        "",
    ]
    last = ""
    for block in read_blocks(entry.load().__doc__ or ""):
        if lines[-1] and not block.kind == last == "item":
            lines.append("")
        lines += list(_printed(block))
        last = block.kind
    lines += ["", "Parameters (on the command line: --set NAME=VALUE)", ""]
    for parameter in parameters_of(entry):
        values = f"  ({_bare(parameter.values)})" if parameter.values else ""
        lines += _wrapped(f"{parameter.name}: {parameter.label}{values}", "  ", "    ")
        lines += _wrapped(_bare(parameter.text), "      ")
        lines += [*_wrapped(f"Default: {_bare(parameter.default)}", "      "), ""]
    return "\n".join(lines).rstrip() + "\n"


def markdown(blocks: list[Block], level: str = "##") -> str:
    """Parts of a docstring as Markdown."""
    lines: list[str] = []
    for number, block in enumerate(blocks):
        if number and not block.kind == blocks[number - 1].kind == "item":
            lines.append("")
        text = block.text.replace("``", "`")
        lines += {
            "heading": [f"{level} {text}"],
            "item": [f"- {text}"],
            "code": ["```python" if text.startswith(">>>") else "```", block.text, "```"],
            "text": [text],
        }[block.kind]
    return "\n".join(lines)


def _printed(block: Block) -> Iterator[str]:
    if block.kind == "code":
        yield from textwrap.indent(block.text, "    ").splitlines()
    elif block.kind == "item":
        yield from _wrapped(_bare(block.text), "  * ", "    ")
    else:
        yield from _wrapped(_bare(block.text))


def _wrapped(text: str, first: str = "", further: str | None = None) -> list[str]:
    further = first if further is None else further
    wrapper = textwrap.TextWrapper(WIDTH, first, further, break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(text)


def _bare(text: str) -> str:
    """Without the marks of code and emphasis."""
    return re.sub(r"\*(\w[^*]*)\*", r"\1", text.replace("`", ""))


def _parameter(trait: Any, name: str, text: str) -> Parameter:
    meaning, _, default = text.partition(":Default:")
    return Parameter(
        name, str(trait.label), str(trait.ovito_group or ""), _values(trait), _one_line(default), _one_line(meaning)
    )


def _values(trait: Any) -> str:
    """Bounds and choices of a trait in words."""
    handler = trait.handler
    if isinstance(handler, Enum):
        return " or ".join(f'``"{value}"``' for value in handler.values)
    if not isinstance(handler, Range):
        return ""
    low, high = handler._low, handler._high
    if None not in (low, high) and not (handler._exclude_low or handler._exclude_high):
        return f"{low:.12g} to {high:.12g}"
    least = f"{'above' if handler._exclude_low else 'at least'} {low:.12g}" if low is not None else ""
    most = f"{'below' if handler._exclude_high else 'at most'} {high:.12g}" if high is not None else ""
    return ", ".join(bound for bound in (least, most) if bound)


def _texts_below(modifier: type) -> dict[str, str]:
    """The texts below the assignments in a class, which Python itself does not keep."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(modifier))).body
    assert isinstance(definition, ast.ClassDef)
    body, found = definition.body, {}
    for statement, below in pairwise(body):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if is_text and isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            found[statement.targets[0].id] = inspect.cleandoc(str(below.value.value))  # type: ignore[attr-defined]
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())
