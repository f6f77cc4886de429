"""Transcripts of speech as text: n-best lists corrected or rescored, punctuation and casing restored.

The intent of a transcript is plain classification, which needs no separate task::

    task:
      use: classification
      data: {path: ./intents}
      prompt: "Transcript: {{ transcript | passage }}\\nIntent:"
      label: intent
      labels: [flight, airfare, ground service]
"""

from __future__ import annotations

from typing import Any

from gpttasks import hookimpl


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes the tasks known; each is imported when a recipe names it."""
    register.later("task", "transcript-correction", "gpttasks_speech.correction:TranscriptCorrection")
    register.later("task", "punctuation-restoration", "gpttasks_speech.restoration:PunctuationRestoration")
