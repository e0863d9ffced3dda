"""Recorded runs, from elsewhere and of our own: reading them, writing them, and what can be learned from them."""

from skill_plugin.histories.reading import AUTO, FORMATS, read
from skill_plugin.histories.records import Attempted, Episode, Noted, Refused, Written

__all__ = ["AUTO", "FORMATS", "Attempted", "Episode", "Noted", "Refused", "Written", "read"]
