"""Metrics, their intervals and their signatures. The modules are imported where they are used: most need numpy."""
