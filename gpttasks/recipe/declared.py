"""What components declare about themselves, which may depend on their options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..component import Component, Options
from ..declarations import check_instance
from ..errors import GpttasksError, PluginError, one_line


@dataclass(frozen=True)
class Declared:
    """What a task, head, metric or baseline declares with certain options; see the base class of each.

    gives:
        the kinds of answer of a head or a baseline; empty if a head does not say.
    """

    name: str
    fields: frozenset[str] | None = None
    needs: frozenset[str] = frozenset()
    trains_on: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    asks: frozenset[type] = frozenset()
    takes: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    statistic: str | None = None
    has_worst: bool = False
    needs_training: bool = False
    prompted: bool = True
    trainable: bool = True

    def serves(self, gives: frozenset[str], fields: frozenset[str] | None) -> bool:
        """Whether a metric takes these kinds of answer, and a task fills what it needs; None: that is not known."""
        return gives <= self.takes and (fields is None or self.needs <= fields)


_READ = (
    "fields",
    "needs",
    "trains_on",
    "asks",
    "takes",
    "reads",
    "statistic",
    "has_worst",
    "needs_training",
    "prompted",
)


def declared(component: type[Component], options: Options) -> Declared:
    """What the component declares with these options.

    Raises PluginError if its code fails on them, or the gpttasks error that it raises.
    """
    try:
        instance: Any = component(options)
        check_instance(instance)
        values: dict[str, Any] = {name: getattr(instance, name) for name in _READ if hasattr(component, name)}
        gives: Any = instance.gives if hasattr(component, "gives") else frozenset()
        values["gives"] = frozenset({gives}) if isinstance(gives, str) else gives
        if component.kind == "head" and hasattr(component, "trainable"):
            values["trainable"] = bool(component.trainable())
        return Declared(component.name, **values)
    except GpttasksError:
        raise
    except (Exception, SystemExit) as error:  # the plugin's own code
        message = f"the {component.kind} {component.name!r} failed on these options: {one_line(error)}"
        raise PluginError(message) from error


def declared_by_default(component: type[Component]) -> Declared | None:
    """What the component declares with its sample or default options; None if it cannot be created."""
    try:
        return declared(component, component.Options.model_validate(dict(component.sample_options)))
    except (Exception, SystemExit):  # whatever a validator of the plugin raises
        return None
