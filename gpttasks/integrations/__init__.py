"""Other tools with gpttasks inside; each needs the extra of its name."""
