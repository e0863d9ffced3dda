"""Recorded runs, from elsewhere and of our own: reading them, writing them, and what can be learned from them."""

from skill_plugin.histories.reading import AUTO, FORMATS, read
from skill_plugin.histories.records import Episode, EpisodeRevision, EpisodeRollout, Note, Refusal

__all__ = ["AUTO", "FORMATS", "Episode", "EpisodeRevision", "EpisodeRollout", "Note", "Refusal", "read"]
