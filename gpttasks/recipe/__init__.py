"""Recipes: reading, checking, writing and their digests."""

from .digest import canonical, dump_recipe, method_digests, recipe_as_dict, recipe_digest, short_digest
from .document import Document, find_recipe, parse_document, read_document
from .json_schema import json_schema
from .new import new_recipe
from .overrides import apply_overrides
from .placing import problems_placed
from .resolve import load_recipe, resolve
from .schema import Recipe

__all__ = [
    "Document",
    "Recipe",
    "apply_overrides",
    "canonical",
    "dump_recipe",
    "find_recipe",
    "json_schema",
    "load_recipe",
    "method_digests",
    "new_recipe",
    "parse_document",
    "problems_placed",
    "read_document",
    "recipe_as_dict",
    "recipe_digest",
    "resolve",
    "short_digest",
]
