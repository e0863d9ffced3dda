"""The documents are run: every Python block, every command's page, every name they promise."""

import itertools
import re
from pathlib import Path

import pytest
import typer
from langgraph.graph import MessagesState, StateGraph

from fakes import MACHINE, AgentChat, FingersAdder, ScriptedChat, called, skill_text
from skill_plugin import errors
from skill_plugin.integrations.cli import app
from tiny_models import tiny_model

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLI_PAGE = ROOT / "docs" / "cli.md"


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def right(task, answer):
    return answer == str(sum(int(word) for word in task.input.split() if word.isdigit()))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_every_python_block_runs(page, tmp_path, monkeypatch, minilm):
    """With the names that the text says the reader has: an agent, a model that writes skills, a judge, a host's builder, a model's folder."""
    monkeypatch.chdir(tmp_path)
    writer = ScriptedChat(lambda _: MACHINE)
    names = {"__name__": "docs", "agent": FingersAdder(), "model": writer, "right": right}
    if page.name == "stategraph.md":  # where `agent` is the host's node, and `model` its model
        names |= {"agent_that_adds": FingersAdder(), "model": FingersAdder(), "writer": writer}
    if page.name in {"generators.md", "models.md"}:
        names["folder"] = tiny_model(tmp_path / "model")
    if page.name == "functions.md":  # a model that calls the function
        turns = itertools.cycle([called("refund_duplicates", customer="anna"), "done"])
        names["model"] = AgentChat(turns)
    names["builder"] = StateGraph(MessagesState)
    for number, block in enumerate(blocks(page)):
        if "gate_version(store" in block:
            names["store"].add_text(skill_text())
        exec(compile(block, f"{page.name} block {number}", "exec"), names)
    if page.name == "README.md":
        assert names["result"]["passed"] is True


def test_the_scripts_of_the_readme_are_as_short_as_they_say():
    four, _, nodes = blocks(ROOT / "README.md")[:3]

    assert len([line for line in four.splitlines() if line]) == 4
    assert len([line for line in nodes.splitlines() if line]) <= 12


def commands(group, prefix=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def cli_page():
    """Every command with its arguments and options, from the program itself."""
    lines = ["# The command line", "", "Made from the program by `make docs`; a test compares the two.", ""]
    for name, command in sorted(commands(typer.main.get_command(app))):
        lines += [f"## skill-plugin {name}", "", command.help.strip(), "", "| option | meaning |", "|---|---|"]
        for parameter in command.params:
            if getattr(parameter, "hidden", False) or parameter.name == "help":
                continue
            is_argument = parameter.param_type_name == "argument"
            flag = parameter.name.upper() if is_argument else ", ".join([*parameter.opts, *parameter.secondary_opts])
            said = (parameter.help or "").strip().replace("\\[", "[")  # Rich would take it for markup
            lines.append(f"| `{flag}` | {said} |")
        lines.append("")
    return "\n".join(lines)


def test_the_page_of_the_command_line_is_what_the_program_says():
    assert CLI_PAGE.read_text(encoding="utf-8") == cli_page()


def test_every_command_and_every_option_has_help():
    for name, command in commands(typer.main.get_command(app)):
        assert command.help, name
        assert [parameter.name for parameter in command.params if not parameter.help and parameter.name != "help"] == []


def test_every_link_between_the_pages_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_a_link_of_the_readme_shows_the_path_it_leads_to():
    """Where the README stands alone, as on a package index, a relative link leads nowhere; its text still says which file."""
    links = re.findall(r"\[([^\]]*)\]\((?!https?:)([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))

    assert links
    assert [text for text, target in links if text != target] == []


def test_every_folder_and_make_target_that_the_readme_names_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for folder in re.findall(r"^(\w+)/ ", text, re.MULTILINE):
        assert (ROOT / folder).is_dir()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)
    assert {"demo", "test", "help"} <= set(targets)


def test_the_tree_of_errors_is_the_one_that_is_drawn():
    drawn = dict(re.findall(r"[├└]── (\w+)(?: \((\w+)\))?", errors.__doc__))
    real = {
        name: base.__bases__[1].__name__ if len(base.__bases__) > 1 else ""
        for name, base in vars(errors).items()
        if isinstance(base, type) and base is not errors.SkillPluginError
    }

    assert drawn == real


if __name__ == "__main__":  # make docs
    CLI_PAGE.write_text(cli_page(), encoding="utf-8")
