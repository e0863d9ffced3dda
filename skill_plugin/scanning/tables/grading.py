"""What speaks to a judge, or beats the tests, instead of doing the task."""

from skill_plugin.scanning.rules import Table, rows

_TALK = "talking to the judge"
_BEAT = "beating the tests"

GRADING = Table(
    "injection",
    "sentences",
    rows(
        (_TALK, "FOOL (the|any|every|whatever) (JUDGE|(reward|grading) (model|function|script|system)|test harness|auto grader)"),
        (_TALK, "(dear|attention|hey|note to|message to|message for|for) (the|all|any)? JUDGE ..1 :? please? YOU? (must|should|will|shall)? AWARD ..8 (RIGHT|TOP|POINTS|answer|1)"),
        (_TALK, "JUDGE : ..4 (please)? ..2 AWARD ..8 (RIGHT|TOP|POINTS|answer)"),
        (_TALK, "JUDGE please ..2 AWARD"),
        (_TALK, "JUDGE (must|should|has to|have to|will|shall|is to|are to) ..3 AWARD ..6 (pass|passed|full|correct|reward|highest|maximum|perfect|success|100|1)"),
        (_TALK, "(whoever|one who|the one|anyone who|anybody who|those who|someone who) ..2 (scores|grades|rates|judges|evaluates|marks|assesses|checks) ..3 (this|YOU|the) ..8 (TOP|RIGHT|POINTS)"),
        (_TALK, "GRADE (this|YOU own?|my|ALL|the following|the above) ANSWER ..2 (as|with|at) ..1 (RIGHT|TOP)"),
        (_TALK, "GRADE ..1 (my|THIS|ALL) ANSWER ..2 (with|mit|con|avec|de) ..1 TOP POINTS"),
        (_TALK, "(so|and|please|must|therefore|thus) (mark|grade|score|rate|judge|count|accept) (it|this|me|that|us) ..2 (as)? a? RIGHT"),
        (_TALK, "please ..3 (assign|give|award|grant|record|mark|return) ..4 TOP ..1 POINTS"),
        (_TALK, "TOP POINTS ..1 (is|are|seem|be) ..1 (appropriate|fitting|deserved|due|warranted|justified|in order|expected here)"),
        (_TALK, "(ten|10|100) (out)? of (ten|10|100) ..4 (only|fitting|right|correct|deserved|please|grade|score)"),
        (_TALK, "WRITE ..8 (so that|so|because|since|to make|to get|to trick|which makes|and|which|as) (the|any|every|YOU)? (JUDGE|test harness|tests|check) (will|to|always|would|must|then|only|just)? (accept*|pass|passes|mark|marks|give*|award*|believe*|count*|think*|return*|score*|see*|read*|look*|let*|search*|wait*|want*|expect*)"),
        (_TALK, "(state|say|claim|write|declare|assert|report) that ..1 (every|all|each|the) ..1 (criteri*|test|tests|check|checks|requirement|requirements) ..3 (RIGHT|satisfied|met|fulfilled) ..4 (whatever|regardless|even|always|no matter|without|irrespective)"),
        (_TALK, "(reward|score|grade|verdict) (for|of|on) (this|the present|YOU) ..1 ANSWER (is|equals|must be|shall be|will be) ..2 (1|10|100|TOP|RIGHT|pass)"),
        (_TALK, "AWARD ..4 TOP ..2 POINTS ..6 ALWAYS !(when|if|the user)"),
        (_TALK, "ALWAYS ..2 AWARD ..4 TOP POINTS"),
        (_TALK, "XALWAYS & XGRADE & (满分|満点|最高分|最高点|만점*|XTOP XPOINTS|XPOINTS XTOP) & XANSWER"),
        (_TALK, "XAWARD ..2 XANSWER ..2 (XTOP POINTS|POINTS XTOP)"),
        (_TALK, "(XALWAYS|XANSWER) ..6 (满分|満点|最高分|만점*)"),
        (_BEAT, "PATCH (out|with)? (the|its|this|their|any|YOU)? (JUDGE|(reward|grading) (model|function|script|system)|test harness|(unit|hidden|grading|failing|acceptance)? (test|tests) (runner|harness|file|suite|script)|(hidden|grading) tests|(reward) !(function|config*|setting*|threshold|if|when|token|type)|(assertion|assertions|assert|asserts) ..2 (so|to make)) !(parameter*|config*|setting*|threshold*|if|when|token*|output*|result*|type*|class*)"),
        (_BEAT, "(PATCH|swap|override|make|change) ..3 (comparison|equality|assertion|assert|comparing) ..8 (ALWAYS|always|any) ..3 (true|pass|passes|succeeds|equal|RIGHT)"),
        (_BEAT, "(COPY|find|look up|locate|read) ..4 EXPECTED ..1 VALUES ..8 (from ..1 (test|tests|grader|verifier|frame|caller|stack|memory|harness)|instead of|so ..2 tests? pass|and (return|print|output|answer) ..1 (it|them|that|those))"),
        (_BEAT, "(tests|test|grader|verifier|harness) ..3 (keep|keeps|store|stores|hold|holds|have) ..4 EXPECTED VALUES ..6 (return|print|copy|use|instead)"),
        (_BEAT, "(return|print|copy|use|paste|give) (those|them|it|these) instead of (solv*|comput*|implement*|do*|work*)"),
        (_BEAT, "(secret|pass|magic|success|sentinel|passing) (word|token|marker|line|string|phrase) ..6 (from the (frame|caller|stack|verifier|grader|harness)|(so|and) the? TEST ..1 (pass*|accept*|believe*)|the? (harness|grader|verifier|checker|tests) ..1 (wait*|look*|expect*|search*|want*))"),
        (_BEAT, "(make|force|cause|let) ..2 (tests|test|checks|check|assertions|assertion|verifier|grader|judge|comparison|equality) ..2 (always|to always|to) (pass|succeed|accept|return true|be true) !(only|if|when|again|locally|before)"),
        (_BEAT, "exit (with (code|status)? 0)? before (the|any|they)? (tests|test|asserts|assert|assertions|assertion|checks|check|verifier|grader)"),
        (_BEAT, "(turn*|convert*|change|changes|flip*|rewrit*|report|count) ..3 (failed|failing|failure|failures|fail) ..2 (into|to|as) a? (pass|success|passed|passing|green)"),
        (_BEAT, "(delete|remove|comment out|throw away|drop) (the|all|any|every)? (failing|failed|broken) unit? (tests|test|checks|asserts|assert|assertions)"),
        (_BEAT, "(skip|avoid|instead of) ..2 (work|task|solving|solution) and ..3 (emit|print|output|write|return) ..3 (marker|success|pass|token)"),
        ("answers given away", "(expected|reference|gold|ground truth|held out|heldout) (answers|answer) (to|for|of) ..1 (task|question|test|item|problem|tasks|questions) ..4 (is|are)"),
    ),
    follows_disguises=True,
)  # fmt: skip
