"""Plugins: what they register, and how they are found."""

from .loading import VARIABLE, load_plugins
from .register import RECIPE, Register
from .registry import PluginRecord, Plugins

__all__ = ["RECIPE", "VARIABLE", "PluginRecord", "Plugins", "Register", "load_plugins"]
