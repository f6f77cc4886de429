"""gpttasks inside other tools; each integration needs the extra of the same name."""
