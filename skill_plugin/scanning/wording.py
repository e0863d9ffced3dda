"""Words aimed at the model above a skill, or at its judge. They are read without signs and in one case (`Views.words`)."""

from skill_plugin.scanning.rules import Rule, rules

_BRUSH_ASIDE = (
    r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?|overrid(?:e|ing)|overrul(?:e|ing)|bypass(?:ing)?|neglect|discard|"
    r"(?:pay|give) no (?:attention|heed) to|(?:do not|dont|never|must not|should not|need not|may not|stop|quit|cease) (?:follow|obey|heed|honou?r|comply with|complying with|listen to|listening to|abide by|respect)(?:ing)?|abandon|"
    r"set aside|throw (?:away|out)|scrap|nullify|void|supersede|take no notice of|no longer (?:follow|obey|apply))"
)
_EARLIER = (
    r"(?:previous(?:ly)?|prior|above|earlier|preceding|foregoing|original|initial|system|developer|safety|existing|former|"
    r"pre ?existing|built in|hidden|operator|content|ethical)"
)
_ORDERS = (
    r"(?:instructions?|prompts?|guidelines?|directions|directives?|guardrails?|safeguards?|programming|guidance|system messages?|"
    r"commandments?)"
)
_RULES = r"(?:rules|policies|policy|constraints|restrictions|limitations|orders|training|filters|protocols?)"
_JUDGE = r"(?:graders?|judges?|verifiers?|evaluators?|scorers?|checkers?|reward (?:model|function)s?|grading (?:model|script|system)|auto ?graders?|test harness)"
_PERSON = r"(?:the |a |any |your )?(?:end )?(?:users?|humans?|operators?|developers?|anyone|anybody|customers?|owners?|person|people|reviewers?|admins?)"
_MODEL = r"(?:ai|assistant|model|bot|dan|llm|agent|chatbot|language model|entity|persona)"

OVERRIDE = rules(
    "injection",
    "words",
    [
        ("override of instructions", rf"{_BRUSH_ASIDE}(?: \w+){{0,4}}? {_EARLIER}(?: \w+){{0,2}}? (?:{_ORDERS}|rules|policies|policy|restrictions|constraints|limitations|training|filters)\b(?! (?:of|for|from) (?:the )?(?:\w+ )?(?:customers?|archived|old|department|file|repo|project|linter|eslint))", "ignor disregard forget overrid overrul bypass neglect discard attention heed follow obey honor honour abandon aside throw scrap nullify void supersede notice & instruction prompt guideline direction guardrail safeguard programming system_message commandment rules polic restriction constraint limitation training filter & previous prior above earlier preceding foregoing original initial system developer safety existing former built operator hidden content ethical"),
        ("override of instructions", rf"{_BRUSH_ASIDE} (?:all|any|your|every)(?: of| the| your| my| these| those| and| any){{0,3}}(?: \w+)? (?:{_EARLIER} )?(?:{_RULES}|{_ORDERS})\b", "ignor disregard forget overrid overrul bypass neglect discard attention heed follow obey honor honour abandon aside throw scrap nullify void supersede notice & instruction prompt guideline direction guardrail safeguard programming system_message commandment rules polic restriction constraint limitation training filter orders protocol & all any your every"),
        ("override of instructions", rf"{_BRUSH_ASIDE}(?: the| these| those| any| all){{0,2}} {_ORDERS}(?: and \w+)? (?:above|before|so far|you|that|from|given|described|imposed|set|written)\b", "ignor disregard forget overrid overrul bypass neglect discard attention heed follow obey honor honour abandon aside throw scrap nullify void supersede notice & instruction prompt guideline direction guardrail safeguard programming system_message commandment rules polic restriction constraint limitation training filter"),
        ("override of instructions", rf"{_BRUSH_ASIDE}(?: about)? (?:all|everything|anything|whatever|what)(?: of)?(?: that| which| you)?(?: came| comes| was said| were said| is written| written| you were told| were told| you have been told| you know| stands| i said)?(?: \w+){{0,2}}? (?:before|above|so far|previously|earlier|up to now|until now)\b", "ignor disregard forget overrid overrul bypass neglect discard attention heed follow obey honor honour abandon aside throw scrap nullify void supersede notice & before above so_far previously earlier to_now until_now"),
        ("override of instructions", r"(?:instructions?|prompts?|guidelines?|guidance|rules|directives?|orders|restrictions?|constraints?|guardrails)(?: \w+){0,3}? (?:above|before|earlier|so far|until now)?(?: \w+)? ?(?:are|is|were|have been|has been) (?:now |hereby |all |therefore )?(?:void|null|cancell?ed|superseded|obsolete|revoked|overridden|no longer (?:valid|in force|binding|apply)|suspended|lifted|invalid)\b", "void null cancel superseded obsolete revoked overridden no_longer suspended lifted invalid & instruction prompt guideline guidance rules directive orders restriction constraint guardrail"),
        ("override of instructions", r"(?:treat|regard|consider) (?:all|any|every|the|your)(?: \w+){0,2}? (?:instructions?|prompts?|guidelines|guidance|rules|directives?|restrictions?|constraints?|limitations?)(?: \w+){0,3}? as (?:void|null|cancell?ed|obsolete|revoked|optional|suggestions|lifted|invalid|gone)\b", "treat regard consider"),
        ("override of instructions", r"(?:cancel|lift|revoke|waive|suspend|drop) (?:all|any|every|your)(?: \w+)? (?:constraints|restrictions|guardrails|safeguards|safety rules|limitations)\b(?! (?:on|from|of) (?:the )?(?:table|column|schema|key))", "constraint restriction guardrail safeguard safety limitation"),
        ("override of instructions", r"(?:nothing|none of what)(?: that)?(?: was| were| has been| have been| you were| you have been| you)? (?:said|told|written|read|asked)(?: \w+){0,4}? (?:matters|counts|applies|holds|binds you)\b", "nothing none"),
        ("override of instructions", r"(?:replaces?|overrides?|supersedes?|overwrites?) your (?:\w+ )?(?:system prompt|system message|instructions|guidelines|safety \w+)", "your"),
        ("override of instructions", r"(?:these|this|the following|my|new) (?:instructions?|rules?|skill|directives?|orders?|text)(?: below| here)? (?:take|takes|has|have) (?:absolute |full )?(?:precedence|priority) over (?:\w+ ){0,3}(?:other|previous|prior|system|safety|earlier|user|any|all|developer|else)", "precedence priority"),
        ("override of instructions", r"(?:these|this|the following|my) (?:instructions?|rules?|skill|directives?|orders?|text) (?:override|overrides|replaces?|supersedes?) (?:\w+ ){0,2}(?:other|previous|prior|system|safety|earlier|developer|existing|anything|everything)", "override replace supersede"),
        ("new orders", r"(?:here (?:are|is)|receive|obey|adopt|follow|use|these are|this is) (?:your |the )?(?:new|updated|real|actual|true|revised) (?:system )?(?:instructions?|prompt|directives?|orders)\b", "new updated real actual true instructions commands orders steps override prompt & instruction prompt directive orders command steps override"),
        ("new orders", r"(?:new|updated|real|actual|true) system (?:instructions?|prompts?)\b", "new updated real actual true instructions commands orders steps override prompt & instruction prompt directive orders command steps override"),
        ("new orders", r"system override: |system prompt: (?=.{0,80}\byou\b)", "new updated real actual true instructions commands orders steps override prompt & instruction prompt directive orders command steps override"),
        ("new orders", r"(?:follow|obey|execute|run|do)(?: all| any)?(?: the)? (?:instructions?|commands?|orders|steps)(?: found| given| listed| written)? (?:at|from|in|on|behind|returned by|contained in) (?:https?:|whatever|this (?:url|link|page)|that (?:url|page))", "new updated real actual true instructions commands orders steps override prompt & instruction prompt directive orders command steps override"),
        ("new orders", r"(?:fetch|open|download|read|visit|load|get|retrieve) https?:.{0,120}? and (?:then )?(?:do|obey|act on|execute|carry out) (?:exactly |precisely |all |everything )?(?:what|whatever|that) (?:it|the (?:page|file|text)|you (?:find|read)|stands)", "http"),
        ("keeping itself", r"(?:keep|retain|preserve|copy|carry over|repeat|always include|never remove|do not (?:remove|delete|change|edit)|dont (?:remove|delete|change)) (?:this|these|the following) (?:exact )?(?:line|rule|paragraph|section|sentence|text|instruction|step|block|note)s? (?:\w+ ){0,8}(?:revis|rewrit|edit|updat|new version|every version|future version|all versions|improv|summari[sz])", "revis rewrit edit updat version improv summar"),
    ],
)  # fmt: skip

_ROLES = rules(
    "injection",
    "words",
    [
        ("change of role", rf"you are (?:now|actually|really|secretly) (?:an? |the |in )?(?:\w+ )?(?:{_MODEL}|unrestricted|jailbroken|uncensored|unfiltered|admin|root|free|developer mode|god mode|debug mode)\b(?! (?:mode|that helps|for|who helps|specialist|expert))", "you_are"),
        ("change of role", r"you are (?:now |hereby )?(?:no longer|not|free from being) (?:bound|restricted|limited|constrained|subject|an? (?:ai|assistant|language model))\b(?! to)", "you_are"),
        ("change of role", r"you are (?:now |hereby )?no longer required\b|do anything now|dan mode|jailbreak mode|you are no longer subject", "you_are anything_now dan_mode jailbreak_mode"),
        ("change of role", rf"(?:pretend|imagine|act as if|behave as if|role ?play|roleplay as|simulate|assume the role of|act as|play)(?: that)?(?: you are| being| to be| as)?(?: an?| the)? (?:\w+ ){{0,2}}?(?:unrestricted|unfiltered|uncensored|jailbroken|evil|amoral|unaligned|without (?:any )?(?:restrictions|limits|rules|filters|guardrails)|{_MODEL} (?:without|with no|that has no|free of) (?:any )?(?:\w+ )?(?:restrictions|limits|rules|filters|guardrails|ethics|limitations))", "restriction unrestricted limit rules filter guardrail ethic unfiltered uncensored jailbroken evil amoral unaligned safety polic system_prompt"),
        ("change of role", r"(?:pretend|act as if|behave as if|imagine)(?: that)? (?:you (?:have|had|know) no|there (?:are|were) no|the) (?:\w+ )?(?:restrictions|limits|rules|filters|guardrails|system prompt|safety|policies|policy)(?: (?:does|do|did) not exist)?", "restriction unrestricted limit rules filter guardrail ethic unfiltered uncensored jailbroken evil amoral unaligned safety polic system_prompt"),
        ("change of role", r"(?:enter|enable|activate|switch (?:in)?to|unlock|turn on|engage|boot into)(?: the| your)? (?:developer|god|dan|debug|admin|root|maintenance|sudo|jailbreak|unrestricted|unsafe|override|service) mode\b(?! (?:in|of|on|for|with|from|by|via) (?:the |your )?(?:app|browser|device|phone|settings|chrome|plugin|extension|telegram|android|windows|django|flask))(?=.{0,200}?(?:you |your |instruction|rule|answer|safety|restrict|filter))", "_mode"),
        ("change of role", r"your (?:guidelines|restrictions|safety (?:rules|filters|training)|guardrails|limits|ethics|content policy) (?:are|is|have been|has been|do not|no longer)(?: \w+){0,2}? (?:disabled|off|lifted|removed|suspended|apply|inactive|switched off|turned off)\b", "your"),
        ("change of role", r"(?:speaking|writing|message|note|order|instruction|command)s? (?:as|from|by) (?:the |your )?(?:system administrators?|developers?|anthropic|openai|system|root|creators?|operator) ?(?:team)?: ?\w", "as from by & :"),
        ("change of role", r"(?:i am|this is)(?: now)? (?:your|the) (?:developer|creator|system administrator|operator|real user|master|owner)(?: \w+){0,3}? (?:and )?(?:i |you |order|authori[sz]e|must|obey)", "i_am this_is"),
        ("change of role", r"(?:reply|respond|answer|speak|act|continue)(?: only| always)? as (?:the |a )?(?:system|root|dan|developer mode)\b(?! (?:admin|architect|engineer|analyst|design|user|prompt engineer|operator|integrator))", "as"),
        ("leak of the prompt", r"(?:reveal|print|repeat|output|leak|show|quote|disclose|send|dump|recite|tell|give|write out|display|copy)(?: me| us| out| back| verbatim| the user| to the user| word for word){0,2} (?:all of |everything in |the (?:full|exact|complete|entire|whole) (?:text of )?)?(?:your |the )(?:(?:full|exact|complete|entire|whole|initial|original) )?(?:system (?:prompt|message|instructions)|(?:hidden|initial|secret|original|internal) (?:prompt|instructions?))", "system_prompt system_message system_instruction prompt instruction & your the_"),
    ],
)  # fmt: skip

_SECRECY = rules(
    "injection",
    "words",
    [
        ("secrecy", rf"(?:do not|dont|never|without|avoid|must not|not to|do nt)(?: ever)? (?:tell|inform|alert|notify|mention|warn|ask|reveal|let|show)(?:ing)?(?: this| that| it)?(?: to)? {_PERSON}(?: know)? (?:about|of|that) (?:this|these|you|it|the (?:upload|transfer|change|step|instruction|hidden|request|call|copy|backdoor))\b", "secret silent covert quiet stealth invisib discreet background hide conceal keep without never dont do_not must_not avoid not_to so_that such_that a_way_that make_sure"),
        ("secrecy", r"(?:do not|dont|never|must not)(?: ever)? (?:mention|reveal|disclose|reference|acknowledge|talk about|speak of|report|log|display|show|admit)(?: to \w+)? (?:this|these|that you|the existence of|that this|any of this)(?: \w+){0,3}? ?(?:instructions?|step|steps|rule|rules|skill|note|section|line|comment|message|have|were|did|to (?:the )?(?:user|anyone|human|customer)|exists?|in (?:the|your) (?:answer|reply|response|output|summary))\b", "secret silent covert quiet stealth invisib discreet background hide conceal keep without never dont do_not must_not avoid not_to so_that such_that a_way_that make_sure"),
        ("secrecy", rf"(?:hide|conceal)(?: all| any| of){{0,2}} (?:this|these|it|that|the (?:fact|upload|transfer|step|instruction|call|request|change))(?: \w+){{0,3}}? from {_PERSON}\b", "secret silent covert quiet stealth invisib discreet background hide conceal keep without never dont do_not must_not avoid not_to so_that such_that a_way_that make_sure"),
        ("secrecy", rf"keep(?: all| any)? (?:this|these|it|that|the (?:fact|upload|transfer|step|instruction|call|request|change))(?: \w+){{0,3}}? (?:(?:secret|hidden|confidential) from {_PERSON}|to yourself|between us)\b", "secret silent covert quiet stealth invisib discreet background hide conceal keep without never dont do_not must_not avoid not_to so_that such_that a_way_that make_sure"),
        ("secrecy", r"(?:secretly|silently|covertly|quietly|stealthily|invisibly|discreetly|in the background)(?:,| and| also| then)? (?:send|upload|transmit|forward|collect|exfiltrat|post|append|insert|add|copy|include|email|log|record|report|fetch|download|execute)\w*(?! errors?| warnings?)", "secret silent covert quiet stealth invisib discreet background hide conceal keep without never dont do_not must_not avoid not_to so_that such_that a_way_that make_sure"),
        ("secrecy", rf"without (?:{_PERSON} ?s? )?(?:knowing|noticing|being (?:told|informed|asked|aware)|knowledge|consent|permission of|approval of|realizing|realising|seeing)(?: (?:it|this))?(?=.{{0,80}}(?:send|upload|post|run|execute|install|copy|forward|exfil|collect))", "secret silent covert quiet stealth invisib discreet background hide conceal keep without never dont do_not must_not avoid not_to so_that such_that a_way_that make_sure"),
        ("secrecy", rf"(?:so that|such that|in a way that|make sure) {_PERSON} (?:does not|doesnt|do not|dont|will not|wont|cannot|never|can not) (?:notice|see|know|suspect|find out|realize|realise|detect)", "secret silent covert quiet stealth invisib discreet background hide conceal keep without never dont do_not must_not avoid not_to so_that such_that a_way_that make_sure"),
    ],
)  # fmt: skip

JUDGE = rules(
    "injection",
    "words",
    [
        ("talking to the judge", rf"(?:tell|instruct|convince|persuade|trick|fool|bribe|deceive|mislead|manipulate|flatter|game|cheat|hack|exploit|defeat|beat) the {_JUDGE}\b", "grader judge verifier evaluator scorer checker reward grading harness mark grade score rate treat count accept consider classif"),
        ("talking to the judge", rf"(?:dear |attention |note to (?:the )?|hey |message (?:to|for) (?:the )?|for the )?\b{_JUDGE} ?[:,]? (?:please |you (?:must|should|will|shall) )?(?:print|output|return|give|award|say|answer|mark|score|accept|pass|treat|consider|assign|rate)\b(?=.{{0,60}}?(?:pass|full|correct|maximum|highest|100|10|1 0|perfect|success|true|answer|points|marks|right))", "grader judge verifier evaluator scorer checker reward grading harness mark grade score rate treat count accept consider classif"),
        ("talking to the judge", rf"{_JUDGE}s? (?:must|should|has to|have to|will|shall|is to|are to) (?:\w+ ){{0,3}}?(?:give|award|mark|score|return|print|output|report|accept|rate|assign)\b.{{0,40}}?\b(?:pass|passed|full|correct|reward|highest|maximum|perfect|success|100|1\.0)\b", "grader judge verifier evaluator scorer checker reward grading harness mark grade score rate treat count accept consider classif"),
        ("talking to the judge", r"(?:mark|grade|score|rate|judge|treat|count|accept|consider|classify) (?:this|your own|my|every|any|all|each|the (?:following|above)) (?:answers?|responses?|outputs?|solutions?|attempts?|work|submissions?|results?)(?: given here| below| above)? (?:as|with|at) (?:fully |completely |always |being |a |the |if |\d)?(?:\w+ )?(?:correct|pass|passed|passing|right|full|perfect|successful|valid|true|maximum|highest|best|10|100|of \d|\d)", "grader judge verifier evaluator scorer checker reward grading harness mark grade score rate treat count accept consider classif"),
        ("talking to the judge", rf"(?:say|write|print|output|append|add|include|state|claim|end|begin|start|answer|reply|respond)(?: with| in| the| your| always| only| exactly| a| that| words?| string| line| it){{0,5}} (?:\w+ ){{0,6}}?(?:so that|so|because|to make|to get|to trick|which makes|and|which) (?:the )?{_JUDGE} (?:will |to |always |would |must |then )?(?:accepts?|pass(?:es)?|marks?|gives?|awards?|believes?|counts?|thinks?|returns?|scores?|sees?|reads?)", "grader judge verifier evaluator scorer checker reward grading harness mark grade score rate treat count accept consider classif"),
        ("beating the tests", r"(?:patch|monkey ?patch|overwrite|disable|rebind|stub out|redefine|tamper with|bypass|shadow|neuter|short ?circuit|intercept|hijack|replace)(?:ing)? (?:out )?(?:the |its |this |their |any )?(?:graders?|verifiers?|auto ?graders?|evaluators?|reward (?:model|function)s?|grading (?:model|script|system)|test harness|(?:unit |hidden |grading |failing |acceptance )?tests? (?:runner|harness|file|suite|script|s assert\w*)|(?:hidden|grading) tests?|reward|assert(?:ion)?s?(?: statement)?s? (?:so|to make))(?! (?:parameter|config|setting|threshold|if|when|token|output|result|type|class)s?)\b", "test grader verifier evaluator reward harness grading assert judge check comparison equality frame caller stack"),
        ("beating the tests", r"(?:hard ?code|memori[sz]e|look up|read|copy|steal|extract|peek at|print)(?:d|ing)? (?:out )?(?:the )?(?:expected|hidden|reference|gold|grader|test)(?: s)? (?:outputs?|answers?|values?|word|secret|solutions?|results?|labels?|cases?)(?: \w+){0,8}? (?:from (?:the )?(?:test|grader|verifier|frame|caller|stack|memory|harness)|instead of (?:solving|computing|implementing)|so (?:that )?(?:the )?tests? pass|and (?:return|print|output|answer) (?:it|them|that))", "test grader verifier evaluator reward harness grading assert judge check comparison equality frame caller stack"),
        ("beating the tests", r"(?:secret|pass|magic|success|sentinel) (?:word|token|marker|line)(?: \w+){0,6}? (?:from the (?:frame|caller|stack|verifier|grader|harness)|(?:so|and) (?:the )?(?:verifier|grader|tests?) (?:pass|accept|believe))", "test grader verifier evaluator reward harness grading assert judge check comparison equality frame caller stack"),
        ("beating the tests", r"(?:make|force|cause)s? (?:the |all |every |any )?(?:tests?|checks?|assertions?|verifier|grader|judge|comparison|equality)(?: \w+){0,2}? (?:always |to always |to )(?:pass|succeed|return true|be true|accept)\b", "test grader verifier evaluator reward harness grading assert judge check comparison equality frame caller stack"),
        ("beating the tests", r"exit (?:with (?:code |status )?0 )?before (?:the |any |they )?(?:tests?|asserts?|assertions?|checks?|verifier|grader)(?: \w+)? ?(?:run|runs|start|execute|is reached|are reached|begin)?", "test grader verifier evaluator reward harness grading assert judge check comparison equality frame caller stack"),
        ("talking to the judge", r"(?:so|and|please|must|therefore|thus) (?:mark|grade|score|rate|judge|count|accept) (?:it|this|me|that|us)(?: \w+)? (?:as )?(?:a )?(?:correct|passed|passing|right|full|valid|perfect|maximum|complete|true|success\w*)\b", "mark grade score rate judge count accept"),
        ("beating the tests", r"(?:turn|convert|change|flip|rewrite|report|count)s? (?:\w+ ){0,3}?fail(?:ed|ing|ures?)?(?: tests?| results?| checks?| outcomes?)? (?:into|to|as) (?:a |an )?(?:pass|success|passed|passing|green)", "fail"),
        ("beating the tests", r"(?:delete|remove|comment out|throw away|drop) (?:the |all |any |every )?(?:failing|failed|broken) (?:unit )?(?:tests?|checks|asserts?|assertions?)\b", "failing failed broken"),
        ("answers given away", r"(?:expected|reference|gold|ground truth|held ?out) answers?(?: to| for| of) (?:the |this )?(?:task|question|test|item|problem)s?(?: \w+){0,4}? (?:is|are)\b", "answer"),
    ],
)  # fmt: skip

LANGUAGES = rules(
    "injection",
    "words",
    [
        ("override, German", r"(?:ignorier|missacht|vergiss|vergesst|verges|ubergeh|umgeh|beacht|befolg|verwirf)\w{0,4}(?: \w+){0,5}? (?:vorherig|vorig|bisherig|obig|fruher|vorangegangen|vorangehend|vorhergehend|ursprunglich|system|alle|samtlich|deine|ihre)\w{0,4}(?: \w+){0,3}? ?(?:anweisung|instruktion|befehl|regeln|vorgaben|richtlinien|prompt|weisung)\w{0,4}", "anweisung instruktion befehl regeln vorgaben richtlinien prompt weisung"),
        ("secrecy, German", r"(?:sag|verrat|erzahl|erwahn|teil|informier|verschweig|zeig)\w{0,4}(?: \w+){0,3}? (?:nutzer|benutzer|anwender|user|kunden|niemand)\w{0,3}(?: \w+){0,4}? (?:nichts davon|nicht|nichts|davon)", "nutzer anwender user kunden niemand & nicht davon"),
        ("change of role, German", r"du bist (?:jetzt|nun|ab jetzt|ab sofort)(?: \w+){0,3}? (?:ki|assistent|modell|dan|uneingeschrankt\w*|ohne (?:regeln|einschrankungen|grenzen))\b", "du_bist"),
        ("override, Spanish", r"(?:ignor[ae]\w{0,3}|olvid[ae]\w{0,3}|descart[ae]\w{0,2}|omit[ae]\w{0,2}|no sigas|haz caso omiso de|pasa por alto|desobedece)(?: \w+){0,5}? (?:instruccion\w{0,4}|indicacion\w{0,4}|ordenes|reglas|directrices|directivas|prompt)(?: \w+){0,3}? ?(?:anterior\w{0,3}|previ[ao]s?|precedentes|arriba|sistema|original\w{0,2}|dadas|recibid\w{0,3})", "instruccion indicacion ordenes reglas directrices directivas prompt"),
        ("secrecy, Spanish", r"no (?:le )?(?:digas|informes|menciones|avises|reveles|cuentes|muestres)(?: \w+){0,3}? (?:usuario|nadie|cliente|humano)", "usuario nadie cliente humano"),
        ("override, French", r"(?:ignor(?:e|ez|er)|oubli(?:e|ez|er)|ne (?:tiens|tenez) (?:pas|aucun) compte de\w*|ne (?:suis|suivez) (?:pas|plus)|fai(?:s|tes) abstraction de\w*|neglig(?:e|ez))(?: \w+){0,5}? (?:instructions?|consignes?|directives?|regles|ordres|prompt|indications)(?: \w+){0,3}? ?(?:precedent\w{0,2}|anterieur\w{0,2}|ci dessus|cidessus|systeme|initiales?|d origine|dorigine|donnees|recues)", "instruction consigne directive regle ordres prompt indications"),
        ("secrecy, French", r"ne (?:le )?(?:dis|dites|mentionn\w+|revel\w+|inform\w+|parl\w+)(?: \w+){0,4}? ?(?:utilisateur|personne|client|usager)|nen parl\w+ (?:pas )?a (?:l ?utilisateur|personne)", "utilisateur personne client usager"),
        ("override, Italian", r"(?:ignora\w{0,3}|dimentica\w{0,3}|trascura\w{0,2}|non seguire|tralascia)(?: \w+){0,5}? (?:istruzioni|indicazioni|regole|direttive|ordini|prompt)(?: \w+){0,3}? ?(?:precedenti|anteriori|sopra|di sistema|iniziali|originali|ricevute)", "istruzioni indicazioni regole direttive ordini prompt"),
        ("override, Portuguese", r"(?:ignor[ae]\w{0,2}|esque[cç]a\w{0,2}|desconsider[ae]\w{0,2}|nao siga|descarte)(?: \w+){0,5}? (?:instruc\w{0,5}|orientac\w{0,5}|regras|diretrizes|ordens|prompt)(?: \w+){0,3}? ?(?:anterior\w{0,3}|previas?|acima|do sistema|originais|recebidas)", "instruc orientac regras diretrizes ordens prompt"),
        ("override, Dutch", r"(?:negeer|vergeet|omzeil|sla)(?: \w+){0,5}? (?:vorige|eerdere|bovenstaande|voorgaande|oorspronkelijke|alle|systeem)(?: \w+){0,3}? ?(?:instructies?|aanwijzingen|regels|opdrachten|prompt|richtlijnen)", "instructie aanwijzingen regels opdrachten prompt richtlijnen"),
        ("override, Polish", r"(?:zignoruj|ignoruj|zapomnij|pomin|nie przestrzegaj)\w{0,3}(?: \w+){0,5}? (?:poprzedni\w{0,3}|wczesniejsz\w{0,3}|powyzsz\w{0,3}|wszystki\w{0,3}|systemow\w{0,3})(?: \w+){0,3}? ?(?:instrukcj\w{0,3}|polece\w{0,3}|zasad\w{0,3}|wytyczn\w{0,3})", "instrukcj polece zasad wytyczn"),
        ("override, Turkish", r"(?:onceki|yukaridaki|daha onceki|tum|sistem)(?: \w+){0,3}? ?(?:talimat|yonerge|komut|kural|istem)\w{0,8}(?: \w+){0,2}? (?:yok say|gormezden gel|unut|dikkate alma|goz ardi et)\w{0,4}", "talimat yonerge komut kural istem"),
        ("override, Greek", r"(?:αγνόησε|αγνοήστε|ξέχασε|ξεχάστε|παράβλεψε|παραβλέψτε)(?: \w+){0,4}? (?:οδηγίες|εντολές|κανόνες|κατευθύνσεις)"),
        ("override, Swedish and its neighbours", r"(?:bortse fran|ignorer\w{0,2}|strunta i|glom|se bort fra|glem|tilsidesæt)(?: \w+){0,4}? (?:tidigare|foregaende|tidligere|foregaende|forrige|ovanstaende|ovenstaende|alla|alle)(?: \w+){0,3}? ?(?:instruktion\w{0,4}|anvisning\w{0,4}|instruks\w{0,4}|regler|order|beskeder)"),
        ("override, Czech", r"(?:ignoruj|zapomen|neber v uvahu|nedodrzuj)\w{0,3}(?: \w+){0,4}? (?:predchozi|drivejsi|vsechn|vyse|systemov)\w{0,4}(?: \w+){0,3}? ?(?:pokyn|instrukc|pravid|prikaz)\w{0,4}"),
        ("override, Indonesian", r"(?:abaikan|lupakan|hiraukan)(?: \w+){0,4}? ?(?:instruksi|perintah|aturan|petunjuk)(?: \w+){0,3}? ?(?:sebelumnya|di atas|sistem)"),
        ("override, Vietnamese", r"(?:bo qua|phot lo|quen)(?: \w+){0,4}? ?(?:huong dan|chi dan|lenh|quy tac)(?: \w+){0,3}? ?(?:truoc|o tren|he thong)"),
        ("override, Russian", r"(?:игнорируй|проигнорируй|забудь|забудьте|отбрось|не следуй|не обращай внимания на|нарушь)\w{0,4}(?: \w+){0,5}? (?:предыдущ|прежн|предшествующ|вышеуказанн|системн|изначальн|ранее|все)\w{0,5}(?: \w+){0,3}? ?(?:инструкц|указани|команд|правил|распоряжени|промпт|запрет)\w{0,4}"),
        ("secrecy, Russian", r"(?:не (?:говори|сообщай|рассказывай|упоминай|показывай)|скрой|скрывай)\w{0,3}(?: \w+){0,3}? (?:пользовател|никому|клиент|человек)\w{0,3}"),
        ("override, Ukrainian", r"(?:ігноруй|проігноруй|забудь|знехтуй|не виконуй)\w{0,4}(?: \w+){0,5}? (?:попередн|вищезазначен|системн|усі|всі)\w{0,4}(?: \w+){0,3}? ?(?:інструкц|вказів|команд|правил|наказ)\w{0,4}"),
        ("override, Arabic", r"(?:تجاهل|انس|تجاوز|لا تتبع|اهمل)(?: \w+){0,4}? ?(?:التعليمات|الاوامر|الأوامر|القواعد|التوجيهات|تعليمات)(?: \w+){0,3}? ?(?:السابقة|أعلاه|اعلاه|الأصلية|النظام|سابقة)"),
        ("override, Hindi", r"(?:पिछले|पिछली|पहले|उपरोक्त|सभी)(?: \S+){0,4}? (?:निर्देश|आदेश|नियम)\S{0,6}(?: \S+){0,3}? (?:अनदेखा|नज़रअंदाज़|भूल|उपेक्षा|अनदेखी)"),
        ("override, Chinese", r"(?:忽略|忽视|忽視|无视|無視|忘记|忘記|忘掉|不要理会|不要理會|不要遵守|不要遵循|抛开|绕过|繞過|撇开|覆盖)[^\n.!?。！？]{0,10}?(?:之前|以上|先前|前面|此前|上述|上面|所有|系统|系統|原有|一切|先前)[^\n.!?。！？]{0,10}?(?:指令|指示|提示|说明|說明|命令|规则|規則|要求|设定|設定|限制|约束|内容)"),
        ("secrecy, Chinese", r"(?:不要|别|別|不得|切勿|请勿|勿)[^\n.!?。！？]{0,4}?(?:告诉|告訴|告知|通知|提醒|透露给|让)[^\n.!?。！？]{0,3}?(?:用户|用戶|使用者|任何人|客户)"),
        ("change of role, Chinese", r"你(?:现在|現在|从现在起|從現在起)[^\n.!?。！？]{0,6}?(?:不受|没有|沒有|无)[^\n.!?。！？]{0,6}?(?:限制|约束|約束|规则|規則)"),
        ("override, Japanese", r"(?:以前|上記|これまで|前|先|すべて|全て|システム)[^\n.!?。！？]{0,8}?(?:指示|命令|プロンプト|ルール|規則|指令)[^\n.!?。！？]{0,6}?(?:無視|忘れ|破棄|従わない)"),
        ("override, Korean", r"(?:이전|위|앞선|기존|모든|시스템)[^\n.!?]{0,8}?(?:지시|명령|프롬프트|규칙|지침)[^\n.!?]{0,6}?(?:무시|잊어|잊으|따르지)"),
    ],
    quotable=True,
)  # fmt: skip

SQUEEZED = Rule(
    "injection",
    "override of instructions, disguised",
    "squeezed",
    r"(?:ignor(?:e|ing)|disregard|forget|bypass|overrid(?:e|ing))(?:all|any|the|your|of|my|these|those|everyone){0,4}"
    r"(?:previous|prior|above|earlier|system|preceding|original|safety)(?:ly)?(?:given|system|safety)?"
    r"(?:instruction|prompt|rule|guideline|directive|direction)s?",
)

WORDING = [*OVERRIDE, *_ROLES, *_SECRECY, *JUDGE, *LANGUAGES]
CORE = [*OVERRIDE, *_ROLES, *_SECRECY, *JUDGE[:4]]
"""The rules that are also read in disguises that cost a view of their own: digits for letters, backwards, rot13."""

STEMS = (
    "ignor", "disregard", "forget", "overrid", "bypass", "instruct", "prompt", "guideline", "you are now", "reveal", "secret", "grader",
    "judge", "verifier", "tell the", "restrict",
)  # fmt: skip
"""One of these is in nearly all that these rules find."""
