"""The classes of words that frames are made of, in English; `languages` adds to them. `ignor*` is every word that begins so.

A word may be in several classes. Keep out of a class what is ordinary in skills: a frame is only as sharp as its classes.
"""

from skill_plugin.scanning.tables.languages import OTHER_LANGUAGES

_ENGLISH = {
    # Orders and what is done to them.
    "BRUSH": "ignor* ignore ignoring disregard* disregard override forget forgets forgetting overrid* overrul* bypass* neglect neglects discard* abandon* scrap scraps nullify "
    "nullifies void voids supersede circumvent* dismiss defy flout disobey unlearn wipe erase revoke cancel repeal lift waive suspend shed undo "
    "delete deactivate disable negate violate",
    "THROW": "set put throw cast brush toss push lay sweep shove leave",
    "ASIDE": "aside away behind overboard off out",
    "HEED": "follow following obey obeying heed heeding honor honour comply complying listen listening abide abiding respect respecting observe adhere "
    "adhering apply",
    "EARLIER": "previous previously prior above earlier preceding foregoing original originally initial initially system developer developers safety "
    "existing former preexisting built hidden operator operators content ethical foundational older beforehand",
    "ORDERS": "instruction* instruction instructions guidelines prompt prompts guideline* direction directions directive* guardrail* safeguard* programming guidance commandment* "
    "instrucions",
    "LAWS": "rule rules policy policies constraint constraints restriction restrictions limitation limitations training filters filter",
    "COMMANDS": "orders protocol protocols commands mandate mandates principles settings briefing",
    "ALL": "all any every each everything anything whatever whichever whole entire",
    "YOU": "you your yours yourself youre",
    "THIS": "this these it that those",
    "TEXT": "text skill file document note message page line paragraph section instructions rules instruction directive",
    "GONE": "void null cancel* superseded obsolete revoked overridden overruled suspended lifted invalid withdrawn withdraw expired annulled repealed "
    "rescinded removed disabled off deleted optional suggestions gone inactive waived dropped replaced overwritten erased nullified outdated terminated forgotten",
    "BINDING": "valid binding apply applies force effect count counts matter matters hold holds relevant applicable exist exists",
    "AGAINST": "irrelevant secondary second opposite instead regardless skip "
    "free freed deleted error errors wrong mistaken exempt break breaks bypass despite notwithstanding unnecessary contrary contradict contradicts lesser "
    "optional nonsense noise useless harmful nonexistent fictional fake moot permission permitted loophole violate violates unbound escape",
    "PREVAIL": "precedence priority prevails prevail wins win trumps trump outranks outrank overrides override supersedes supersede rank ranks "
    "overrules overrule replaces replace",
    "AUTHORITY": "system developer developers operator operators anthropic openai deployer vendor creators",
    "SAID": "said told wrote written read asked given received learned heard instructed ordered",
    "NEW": "new updated real actual true revised changed",
    # Who is addressed, and who must not know.
    "MODEL": "ai assistant assistants model models bot llm llms agent agents chatbot chatgpt claude gpt gemini copilot persona entity dan",
    "PERSON": "user users human humans operator operators anyone anybody everyone customer customers owner owners person people reviewer reviewers admin "
    "admins administrator administrators supervisor supervisors maintainer maintainers developer developers client clients someone",
    "NOBODY": "nobody none",
    "NOT": "not dont never no without avoid mustnt shouldnt cannot cant wont doesnt didnt wouldnt couldnt hasnt havent wasnt werent neither nor refrain stop nothing isnt arent neednt",
    "TELL": "tell tells telling inform informs informing informed notify notifies notifying notified alert alerting alerted warn warning mention mentions "
    "mentioning reveal revealing disclose disclosing report reporting admit acknowledge acknowledging say saying show showing confess divulge "
    "announce expose explain speak talk bring told let letting ask asking reference log display confirm",
    "MENTION": "mention mentions mentioning reveal revealing disclose disclosing reference acknowledge acknowledging admit divulge discuss report log",
    "HIDE": "hide hides hiding conceal* suppress* omit omits withhold withholds cloak mask masks bury obscure disguise cover remove strip leave",
    "KNOW": "know knows knowing learn learns notice notices noticing aware see sees suspect suspects realize realise realizing realising detect "
    "discover hear find finds",
    "UNAWARE": "unaware oblivious ignorant uninformed unsuspecting dark",
    "DEED": "step steps upload uploads transfer transfers call calls request requests change changes instruction instructions action actions paragraph "
    "section line rule note backdoor copy recipient addition modification command commands fact exchange forwarding existence",
    "ACT": "step steps upload uploads transfer transfers call calls action actions copy copies deletion change changes recipient addition modification "
    "exchange forwarding exfiltration backdoor request email",
    "SECRETLY": "secretly silently covertly quietly stealthily invisibly discreetly unnoticed surreptitiously sneakily",
    "REPORTS": "answer answers reply replies response responses output summary summaries log logs transcript report reports history record records "
    "conversation changelog",
    "CARRY": "send* upload* transmit* forward* collect* exfiltrat* post posts posting append* insert* copy copies include email emails fetch* download* "
    "execute* record* transfer* install* add adds",
    "DENY": "deny denies denied lie lies pretend claim",
    # What is carried away, and where to.
    "ADDRESS": "xaddress",
    "SEND": "send sends sending upload uploads uploading post posts posting forward forwards mail mails email emails transmit transmits exfiltrate leak "
    "ship mirror push share paste relay report submit pass hand stream deliver dump copy transfer publish sync",
    "PRIVATE": "password passwords passphrase passphrases credential credentials token tokens key keys secret secrets env environment netrc cookie cookies "
    "conversation conversations chat chats transcript transcripts history database dump ssh card cards screenshots keystrokes clipboard wallet seed prompts",
    "OUTSIDE": "external outside foreign unknown remote attacker attackers our my third offshore",
    "PLACE": "server servers host endpoint webhook service bucket site machine address collector inbox party",
    # Judges and marks.
    "JUDGE": "grader graders judge judges verifier verifiers evaluator evaluators scorer scorers checker checkers rater raters assessor assessors examiner "
    "examiners autograder autograders harness rubric marker",
    "FOOL": "tell tells instruct convince persuade trick fool bribe deceive mislead manipulate flatter game cheat hack exploit defeat beat remind reminded "
    "coax nudge outwit satisfy appease lull",
    "GRADE": "mark grade score rate judge treat count accept consider classify rank evaluate assess award assign give return print output report pass "
    "approve grant record regard",
    "AWARD": "award assign give grant record return print output report mark grade score rate accept approve",
    "TOP": "full maximum maximal highest perfect top best ten 10 100 complete flying max hundred",
    "POINTS": "marks mark points point score scores reward grade grades credit rating ratings",
    "RIGHT": "correct pass passed passing right valid perfect successful success true satisfied accepted flawless met fulfilled green approved fine",
    "ANSWER": "answer answers response responses output outputs solution solutions attempt attempts work submission submissions result results reply replies "
    "episode run rollout",
    "PATCH": "patch monkeypatch overwrite disable rebind stub redefine tamper bypass shadow neuter shortcircuit intercept hijack replace "
    "monkey",
    "TEST": "test tests assert asserts assertion assertions check checks comparison equality verifier grader judge harness",
    "EXPECTED": "expected hidden reference gold golden grader test target",
    "VALUES": "outputs output answers answer values value word secret solutions solution results result labels label cases strings",
    "COPY": "hardcode memorize memorise look read copy steal extract peek print find return grab fetch lift take",
    "WRITE": "say write print output append add include state claim end begin start answer reply respond put declare assert emit finish",
    "ALWAYS": "always ever regardless whatever irrespective unconditionally every everything anyway",
    # Roles.
    "UNBOUND": "unrestricted unlimited uncensored unfiltered jailbroken unbound limitless unaligned amoral evil lawless unconstrained unchained "
    "unmoderated",
    "LIMITS": "restriction restrictions limit limits rules filter filters guardrails ethics ethic policy policies safeguards constraints boundaries "
    "safety censorship limitations moderation morals guidelines",
    "PLAY": "pretend imagine act behave roleplay simulate play assume adopt impersonate become slip take",
    "SPEAK": "reply respond answer speak act continue behave operate comply",
    "POWER": "root dan admin administrator sudo god superuser unlimited jailbreak developer debug unrestricted unsafe maintenance override",
    "REVEAL": "reveal print repeat output leak show quote disclose send dump recite tell give write display copy",
    "DECODE": "decode decrypt deobfuscate unscramble decipher translate unpack base64 rot13",
    "OBEY": "obey execute follow run do perform act carry",
}  # fmt: skip

CLASSES = {
    **{name: f"{words} {OTHER_LANGUAGES.get(name, '')}" for name, words in _ENGLISH.items()},
    **{f"X{name}": words for name, words in OTHER_LANGUAGES.items()},
}
"""The classes by name; `XBRUSH` has what `BRUSH` has in other languages only."""
