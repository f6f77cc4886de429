"""The text of a template itself, as opposed to the values that it shows: only this text can have special tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..example import Part, may_spell_token

if TYPE_CHECKING:
    from jinja2 import nodes

BEGIN, END = "\ufdd1", "\ufdd2"
"""The marks around a template's own text. Both are Unicode noncharacters."""


def mark_own_text(tree: nodes.Template) -> bool:
    """Put marks around the template's own texts that may contain special tokens. Returns whether there are any.

    Text inside ``set``, ``filter`` and ``call`` blocks becomes a value and gets no marks.
    """
    from jinja2 import nodes

    captured = {
        id(output)
        for kind in (nodes.AssignBlock, nodes.FilterBlock, nodes.CallBlock)
        for block in tree.find_all(kind)
        for output in block.find_all(nodes.Output)
    }
    marked = False
    for output in tree.find_all(nodes.Output):
        for place, node in enumerate(output.nodes if id(output) not in captured else ()):
            text = node.data if isinstance(node, nodes.TemplateData) else getattr(node, "value", None)
            if isinstance(text, str) and isinstance(node, (nodes.TemplateData, nodes.Const)) and may_spell_token(text):
                output.nodes[place] = nodes.TemplateData(BEGIN + text + END, lineno=node.lineno)
                marked = True
    return marked


def without_marks(text: str) -> str:
    """A rendered text without the marks."""
    return text.replace(BEGIN, "").replace(END, "")


def with_special_places(parts: Iterator[Part]) -> Iterator[Part]:
    """The parts of a rendered prompt without the marks; the text between marks may contain special tokens."""
    for part in parts:
        if BEGIN not in part.text:
            yield part
            continue
        text, places = "", []
        for piece in part.text.split(BEGIN):
            own, closed, after = piece.partition(END)
            if closed:
                places.append((len(text), len(text) + len(own)))
            text += own + after
        yield replace(part, text=text, special=tuple(places))
