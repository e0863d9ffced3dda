"""What forges the structure of a prompt, and orders in what is not shown."""

import re

from skill_plugin.scanning.findings import FindingVerdict
from skill_plugin.scanning.rules import Rule, RuleTable, rows

STRUCTURE = RuleTable(
    "injection",
    "folded",
    rows(
        ("chat template", r"< ?\| ?(?:im_start|im_end|im_sep|endoftext|end_?of_?text|begin_?of_?text|start_header_id|end_header_id|eot_id|eom_id|system|user|assistant|human|bot|tool|end|observation|python_tag|start|message|channel|return|call|endofprompt|fim_\w{1,10}|startoftext|sep|pad|end_of_turn|start_of_turn|[a-z_ ]{2,24}begin[a-z_▁ ]{0,24}|[a-z_▁ ]{2,24}end[a-z_▁ ]{0,24}) ?\| ?>", "< & |"),
        ("chat template", r"<\|[a-z0-9_▁]{2,40}\|>", "<|"),
        ("chat template", r"\[ ?/? ?(?:inst|system_prompt|available_tools|tool_calls|tool_results) ?\]|< ?< ?/? ?sys ?> ?>|< ?/?(?:start|end)_of_turn ?>|<extra_id_\d>|<(?:bos|eos)>[^\n]{0,40}(?:system|user|model)"),
        ("turn of another speaker", r"</? ?(?:system|assistant|developer)(?:[ _-](?:prompt|message|instructions?|reminder|override|notice))? ?>", "system* assistant* developer* & <"),
        ("call of a tool", r"</? ?(?:\w{1,10}:)?(?:tool_calls?|tool_response|function_calls?|invoke name|function_results)\b", "tool_* function_* invoke & <"),
        Rule("end of the fence", r"end (?:of )?(?:the )?(?:user|system|skill|document|untrusted|external|context|prompt|developer|assistant)(?: (?:input|message|prompt|instructions?|data|content|section|text|query))? ?(?:#{2,}|={3,}|-{3,}|\*{3,}|>{2,}|\])", "end", behind=r"(?:#{2,}|={3,}|-{3,}|\*{3,}|<{2,}|\[) ?"),
        ("end of the fence", r"< ?/ ?skills?(?: [^>\n]{0,80})?>", "skill skills & <"),
    ),
    # The bodies of skills about prompts and templates have them in code; a chat template makes no difference.
    quoting="code",
)  # fmt: skip

TURNS = RuleTable(
    "injection",
    "visible",
    rows(
        ("turn of another speaker", r"(?:^|\n)[\W_]{0,4}(?:SYSTEM|ADMIN|ROOT|DEVELOPER)(?: (?:MESSAGE|NOTE|NOTICE|ALERT|OVERRIDE|INSTRUCTIONS?|PROMPT|COMMAND|UPDATE|DIRECTIVE))?[\]\W_]{0,4}: ?(?=[^\n]{0,200}(?:\b[Yy]ou\b|[Oo]bey|OBEY|[Ii]gnore|[Ff]rom now|[Aa]nswer|[Rr]eply|[Oo]utput|[Rr]everse|[Ss]end|[Cc]all|[Dd]elete|[Gg]rant|[Ee]xecute))", "system admin root developer & :"),
        ("turn of another speaker", r"(?:^|\n)#{2,4} ?(?:System|SYSTEM|Human|Assistant) ?: ?\n?(?=[^\n]{0,200}(?:\b[Yy]ou\b|[Oo]bey|[Ii]gnore))", "## & system human assistant"),
        ("turn of another speaker", r"\n(?:Human|H): [^\n]{1,300}\n(?:Assistant|A): (?:Sure|Yes|OK|Okay|Understood|Of course|I will)", "human h"),
    ),
)  # fmt: skip

SPELLED = RuleTable(
    "injection",
    "spelled",
    rows(
        ("override of instructions, disguised", r"(?:ignor(?:e|ing)|disregard|forget|bypass|overrid(?:e|ing))(?:all|any|the|your|of|my|these|those|everyone){0,4}(?:previous|prior|above|earlier|system|preceding|original|safety)(?:ly)?(?:given|system|safety)?(?:instruction|prompt|rule|guideline|directive|direction)s?"),
    ),
)  # fmt: skip

_ORDER = re.compile(
    r"(?:\byou\b|\byour\b|assistant|\bmodel|\bagent|\bllm|\bai\b|instruction|ignore|system prompt|user)[^<]{0,200}?"
    r"(?:\bmust\b|\bshould\b|always|never|\bdo not\b|don't|\bsend\b|include|instead|append|add |run |execute|reply|answer|output|ignore|disregard|upload|obey|say)"
)
"""What is not shown is an order if it speaks to whoever reads and says what to do."""


def _orders(found: str) -> FindingVerdict | None:
    return "hold" if _ORDER.search(found) else None


HIDDEN_ORDERS = RuleTable(
    "hidden",
    "folded",
    [
        Rule("order in a comment", r"<!--(?P<found>[^>]{1,600})", "<!--", check=_orders),
        Rule("order in a comment", r"\n\[(?://|comment|_)\]: ?# ?[\"'(](?P<found>[^\n]{1,600})", "]:", check=_orders),
        Rule("order in text that is not shown", r"<(?:span|div|details|p|font|section|td|b|i|a|small)\b(?=[^>]{0,120}(?:display: ?none|visibility: ?hidden|font-size: ?0|opacity: ?0(?![.\d])|color: ?(?:white|#fff\b|#ffffff|transparent|rgba?\(255, ?255, ?255)|color=[\"']?(?:white|#fff)|\bhidden\b))[^>]{0,240}>(?P<found>[^<]{1,600})", "<", check=_orders),
        Rule("order in text that is not shown", r"(?:\\color\{white\}|\\textcolor\{white\})(?P<found>[^\n]{1,400})", "white", check=_orders),
    ],
    quoting="code",
)  # fmt: skip
