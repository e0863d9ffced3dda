"""LangGraph objects: the loop as a graph, and its nodes for a graph of your own."""

from skill_plugin.graphs.add_skills import add_skills
from skill_plugin.graphs.approve import Approval, ApprovalRequest, approve_node
from skill_plugin.graphs.evolve import aevolve, evolve
from skill_plugin.graphs.evolve_settings import EvolveSettings
from skill_plugin.graphs.evolved import Evolved
from skill_plugin.graphs.execute import AgentInput, execute_node
from skill_plugin.graphs.gate import gate_version, gate_versions
from skill_plugin.graphs.generator_gate import GeneratorGate, agate_generator, gate_generator
from skill_plugin.graphs.population import create_population_graph
from skill_plugin.graphs.record import record_node
from skill_plugin.graphs.retrieve import retrieve_node
from skill_plugin.graphs.revise import revise_node, skill_router
from skill_plugin.graphs.skill_graph import create_skill_graph
from skill_plugin.graphs.state import SkillInput, SkillKeys, SkillOutput, SkillState, skill_guidance
from skill_plugin.graphs.verify import verify_node

__all__ = [
    "AgentInput",
    "Approval",
    "ApprovalRequest",
    "EvolveSettings",
    "Evolved",
    "GeneratorGate",
    "SkillInput",
    "SkillKeys",
    "SkillOutput",
    "SkillState",
    "add_skills",
    "aevolve",
    "agate_generator",
    "approve_node",
    "create_population_graph",
    "create_skill_graph",
    "evolve",
    "execute_node",
    "gate_generator",
    "gate_version",
    "gate_versions",
    "record_node",
    "retrieve_node",
    "revise_node",
    "skill_guidance",
    "skill_router",
    "verify_node",
]
