"""Items of LangGraph's long-term memory beside the skills."""
