"""Plugins: how they are found and loaded, and what they register."""

from .loading import VARIABLE, load_plugins
from .register import RECIPE, Register
from .registry import PluginRecord, Plugins

__all__ = ["RECIPE", "VARIABLE", "PluginRecord", "Plugins", "Register", "load_plugins"]
