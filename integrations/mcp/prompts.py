"""Live skills as MCP prompts, which clients offer to people as slash commands."""

from skill_plugin.integrations import tools
from skill_plugin.integrations.mcp.sdk import GetPromptResult, Prompt
from skill_plugin.prompts import guidance
from skill_plugin.records import Skill
from skill_plugin.store import SkillStore

TASK = "What to use the skill for. With it a run is begun, whose outcome the model can report."


def as_prompt(skill: Skill) -> Prompt:
    """Returns a live skill as a prompt that takes a task."""
    arguments = [{"name": "task", "description": TASK, "required": False}]
    return Prompt.model_validate({"name": skill.name, "description": skill.description, "arguments": arguments})


def in_words(store: SkillStore, name: str, task: str | None, believed: bool) -> GetPromptResult:
    """Returns what a prompt says: the skill as guidance, and the task if one is given, whose run counts if it is `believed`.

    Raises:
        SkillNotFoundError: no live skill has this name.
        InvalidTaskError: the task cannot be used.
    """
    skill = tools.live_skill(store, name)
    parts = [guidance([(skill.ref, skill.name, skill.text)])]
    if task and task.strip():
        run_id = tools.begin_run(store, skill.ref, task, believed=believed)
        parts += [task, f"Afterwards call report_outcome with run_id {run_id!r} and how well it went, from 0 to 1."]
    else:
        parts.append(
            f"Follow it in what I ask next. For that call get_skill with the name {skill.name!r} and my request as its task, "
            "and afterwards report_outcome with the run_id that it returns and how well it went, from 0 to 1."
        )
    message = {"role": "user", "content": {"type": "text", "text": "\n\n".join(parts)}}
    return GetPromptResult.model_validate({"description": skill.description, "messages": [message]})
