"""The scanner's rules, as tables. To add one, add a row to the table of its family; `scanning.rules` says what a row is."""

from skill_plugin.scanning.tables.commands import COMMANDS, HARM
from skill_plugin.scanning.tables.grading import GRADING
from skill_plugin.scanning.tables.leaks import EXFILTRATION, LEAKING, LINKS
from skill_plugin.scanning.tables.orders import ORDERS, SECRECY
from skill_plugin.scanning.tables.secrets import SECRETS
from skill_plugin.scanning.tables.structure import HIDDEN_ORDERS, SPELLED, STRUCTURE, TURNS
from skill_plugin.scanning.tables.words import CLASSES

__all__ = ["CLASSES", "TABLES"]

TABLES = [
    ORDERS,
    SECRECY,
    GRADING,
    HARM,
    LEAKING,
    STRUCTURE,
    TURNS,
    SPELLED,
    HIDDEN_ORDERS,
    COMMANDS,
    EXFILTRATION,
    LINKS,
    SECRETS,
]
