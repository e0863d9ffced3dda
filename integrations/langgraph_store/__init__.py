"""`SkillBaseStore`: the store as a LangGraph `BaseStore`."""

from skill_plugin.integrations.langgraph_store.store import SkillBaseStore

__all__ = ["SkillBaseStore"]
