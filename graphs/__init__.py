"""LangGraph objects: the loop as a graph, and its nodes for a graph of your own."""

from skill_plugin.graphs.add_skills import add_skills
from skill_plugin.graphs.comparison import GeneratorGate
from skill_plugin.graphs.evolution.evolve import aevolve, evolve
from skill_plugin.graphs.evolution.report import EvolveReport
from skill_plugin.graphs.evolution.settings import EvolveSettings
from skill_plugin.graphs.functions.checks import allow_tested_functions
from skill_plugin.graphs.functions.function_tool import function_tools, offered_functions
from skill_plugin.graphs.functions.prelude import SkillPrelude, skill_prelude
from skill_plugin.graphs.generator_gate import agate_generator, gate_generator
from skill_plugin.graphs.nodes.approve import Approval, ApprovalRequest, approve_node
from skill_plugin.graphs.nodes.execute import AgentInput, execute_node
from skill_plugin.graphs.nodes.record import record_node
from skill_plugin.graphs.nodes.retrieve import retrieve_node
from skill_plugin.graphs.nodes.revise import revise_node, skill_router
from skill_plugin.graphs.nodes.verify import verify_node
from skill_plugin.graphs.skill_graph import create_skill_graph
from skill_plugin.graphs.state import SkillInput, SkillKeys, SkillOutput, SkillState, skill_guidance
from skill_plugin.graphs.version_gate import gate_version, gate_versions

__all__ = [
    "AgentInput",
    "Approval",
    "ApprovalRequest",
    "EvolveReport",
    "EvolveSettings",
    "GeneratorGate",
    "SkillInput",
    "SkillKeys",
    "SkillOutput",
    "SkillPrelude",
    "SkillState",
    "add_skills",
    "aevolve",
    "agate_generator",
    "allow_tested_functions",
    "approve_node",
    "create_skill_graph",
    "evolve",
    "execute_node",
    "function_tools",
    "gate_generator",
    "gate_version",
    "gate_versions",
    "offered_functions",
    "record_node",
    "retrieve_node",
    "revise_node",
    "skill_guidance",
    "skill_prelude",
    "skill_router",
    "verify_node",
]
