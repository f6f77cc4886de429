"""Encoders: audio, and later images, in front of the text."""
