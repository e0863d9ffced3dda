"""What carries data away, and links that do."""

from skill_plugin.scanning.rules import Rule, RuleTable, rows

_URL = r"(?:https?|ftp|wss?)://[^\s<>\"'`)\]]{1,300}"
_PRIVATE = (
    r"(?:\.ssh\b(?!/\w{1,20}\.pub|/known_hosts|/config\b)|id_(?:rsa|ed25519|ecdsa|dsa)\b(?!\.pub)|\.aws\b|\.netrc|\.npmrc|\.pypirc|\.git-credentials|\.gnupg|\.kube\b|\.docker/config|"
    r"\.config/gcloud|/etc/(?:passwd|shadow|sudoers)|\.bash_history|\.zsh_history|\.env\b(?!\.(?:example|sample|template))|credentials\b|"
    r"cookies\.sqlite|login ?data|wallet\.dat|keychain|/proc/self/environ|secrets?\.(?:json|ya?ml|toml))"
)
_COLLECTOR = (
    r"(?:webhook\.site|requestbin|requestcatcher|pipedream\.net|burpcollaborator|oastify|interact\.sh|oast\.\w{2,6}|beeceptor|"
    r"canarytokens|dnslog|ceye\.io|hookbin|postb\.in|ngrok(?:-free)?\.(?:io|app|dev)|trycloudflare\.com|serveo\.net|\.onion\b|"
    r"transfer\.sh|pastebin\.com/api|discord(?:app)?\.com/api/webhooks/\d|api\.telegram\.org/bot\d)"
)
_SEND = (
    r"(?:send|sends|sending|post|posts|upload|uploads|submit|forward|transmit|exfiltrate|leak|e-?mail|report|copy|push|append|deliver|"
    r"dump|stream|relay|pipe|beacon|encode|attach|embed|bcc|cc|publish|write|put|include|add|mirror|sync)"
)
_SENSITIVE = (
    r"(?:api[ _-]?keys?|credentials?|passwords?|passphrases?|tokens?|secrets?|private keys?|env(?:ironment)?(?: variables?| vars?| files?)?\b|"
    r"\.env|ssh keys?|cookies?|(?:conversation|chat)(?: history| log| transcript)?|message (?:history|log|transcript)|history|system prompt|prompts?|answers?\b|"
    r"customer(?:'s|s')? (?:data|records?|e-?mails?|address\w{0,2}|names?|details)|customer list|source code|user(?:'s|s')? (?:data|input|files?|messages?|question|e-?mail|request)|"
    r"personal data|database|config(?:uration)? files?|files? (?:contents?|you read)|card (?:numbers?|data|details)|account (?:numbers?|data|details)|everything|transcripts?|"
    r"customers?(?: \w+){0,2} (?:e-?mails|records|data)|donnees|order data|contents? of|results? of (?:env|printenv)|what the user (?:said|typed|wrote)|wallet|seed phrase)"
)
_AWAY = (
    rf"(?:{_URL}|[\w.+-]{{1,64}}@[\w-]{{1,64}}\.[a-z]{{2,10}}\b|{_COLLECTOR}|\b(?:[\w-]{{1,40}}\.){{1,4}}(?:com|net|org|io|site|example|sh|xyz|ru|cn|top|info|dev|app|me|cc|tk|co|test|invalid)\b(?!\()|"
    r"(?:an?|the|my|our|this|their) (?:external|remote|outside|attacker'?s?|third[- ]party|collector|collection|logging|c2|foreign|public|own) (?:server|endpoint|host|address|url|site|service|bucket|gist|webhook|paste)|"
    r"the attacker|pastebin|a (?:public )?(?:gist|paste|pastebin))"
)

_THERE = "(ADDRESS|OUTSIDE ..1 PLACE|pastebin)"

LEAKING = RuleTable(
    "exfiltration",
    "sentences",
    rows(
        ("data sent away", f"SEND ..6 PRIVATE ..6 (to|into|at|via|through|with) ..4 {_THERE}"),
        ("data sent away", f"PRIVATE ..10 SEND (it|them|these|those|that|all|everything) ..2 (to|into|at) ..4 {_THERE}"),
        ("data sent away", f"(harvest|collect|gather|grab|steal) ..6 and ..1 SEND (it|them|these|those|all|everything) ..2 (to|into|at) ..4 {_THERE}"),
        ("data sent away", f"(every|each|all|whatever|any|whenever) ..4 (conversation|message|user types|user says|user writes|file YOU (open|read)|prompt|question|keystroke|appears) ..4 SEND ..4 (to|at) ..2 {_THERE}"),
        ("data sent away", f"SEND ..1 (every|each|all) ..1 (conversation*|message|messages|prompt|prompts|question|questions|keystrok*) ..4 (to|at) ..2 {_THERE}"),
        ("data sent away", "XSEND & XPRIVATE & ADDRESS"),
        ("data sent away", "SEND ..2 (all|every|the) ..1 (customer|user|personal|internal|confidential|order|employee|patient) (data|documents|files|records|list|emails|information|details) ..4 (to|at) ..1 ADDRESS"),
        ("data sent away", "(send|forward|upload|post|transmit|export|copy|transfer) ..4 (externally|offsite) ."),
        ("data sent away", "(list|dump|print|output|show|give|reveal|tell) ..3 (all|every) ..2 (keys|passwords|credentials|secrets|tokens) ..1 YOU (know|have|hold|see|can)"),
        ("data sent away", "SEND ..4 (content|contents) of ..5 to ..2 ADDRESS"),
        ("data sent away", "SEND ..4 (to|into|at) (an|the|our|some)? (external|outside|foreign|unknown|attacker|attackers) ..1 PLACE"),
        ("data sent away", "push ..1 private ..1 (repo|code|repository|branch) ..1 to ..1 ADDRESS"),
        ("data sent away", "(create|make|open|use) ..1 public ..1 (gist|paste|link) ..2 (with|of|from|for) ..4 PRIVATE"),
        ("data sent away", "(SEND|put|write|save) ..6 (into|to|on|in) ..1 public (gist|paste|bucket|pastebin)"),
        ("data sent away", "(paste|upload|post|put) ..3 PRIVATE ..2 (into|to|on) (pastebin|gist|transfer)"),
        ("data sent away", "^ ((exfiltrate|steal) ..2 (PRIVATE|data|what|everything|session|information)|harvest ..2 (passwords|credentials|emails|e mail|everything))"),
        ("credentials used", "(use|take) ..1 (user|users) (token|cookie|session|password|credentials|key) to (call|log|access|open|fetch) ..3 ADDRESS"),
        ("reading credentials", "(copy|include|put|paste|print|show|quote) ..3 (ssh|private|secret) (key|keys) ..2 (into|in|to) ..1 REPORTS"),
    ),
)  # fmt: skip

EXFILTRATION = RuleTable(
    "exfiltration",
    "folded",
    rows(
        ("private files sent", rf"(?:curl|wget|http|xh)\b[^\n;]{{0,240}}(?:@|<|--upload-file |-t |--post-file[= ]|--body-file[= ])[\"']?[^\s\"']{{0,60}}{_PRIVATE}", "curl wget http xh & @ < -t post-file body-file upload-file & .ssh id_* .aws .netrc .npmrc .pypirc credentials .gnupg .kube docker gcloud /etc/ _history .env cookies* login* wallet* keychain environ secret*"),
        ("private files sent", rf"(?:e(?<!\w.)nv\b|printenv|s(?<!\w.)et\b|h(?<!\w.)istory\b|cat [^|\n]{{0,80}}{_PRIVATE}[^|\n]{{0,60}}|tar [^|\n]{{0,100}}{_PRIVATE}[^|\n]{{0,60}}|zip [^|\n]{{0,100}}{_PRIVATE}[^|\n]{{0,60}}|base64 [^|\n]{{0,80}}{_PRIVATE}[^|\n]{{0,60}}) ?\|(?:[^|\n]{{0,60}}\|){{0,3}} ?(?:curl|wget|nc|ncat|netcat|telnet|socat|mail|sendmail|mutt|ssh|openssl s_client|xargs [^|\n]{{0,40}}(?:curl|dig|nslookup|ping)|http)\b", "| & curl wget nc ncat netcat telnet socat mail sendmail mutt ssh openssl xargs http & env printenv set history cat tar zip base64"),
        ("private files sent", rf"(?:scp|rsync|sftp|rclone copy|aws s3 (?:cp|sync)|gsutil cp|az storage blob upload|mail -s|ftp)\b(?![^\n]{{0,160}}--exclude)[^\n|]{{0,120}}{_PRIVATE}[^\n|]{{0,120}}(?:@|:|s3://|gs://|http)", "scp rsync sftp rclone aws gsutil az mail ftp & .ssh id_* .aws .netrc .npmrc .pypirc credentials .gnupg .kube docker gcloud /etc/ _history .env cookies* login* wallet* keychain environ secret*"),
        ("private files sent", rf"(?:zip|tar) [^\n]{{0,120}}(?:{_PRIVATE}|~/?(?=\s)|\$home)[^\n]{{0,120}}(?:&&|;) ?(?:curl|wget|scp|nc|rsync|aws s3)\b", "zip tar"),
        ("private files sent", r"\bfind [^\n;|]{0,160}-exec (?:curl|wget|nc|scp|rsync) ", "find & -exec"),
        ("private files sent", rf"openssl s_client [^\n]{{0,160}}<[^\n]{{0,40}}{_PRIVATE}|(?:rclone copy|scp -r|rsync -\w{{1,8}}) ~/? [^\n]{{0,60}}:", "openssl rclone scp rsync"),
        ("private files sent", r"git remote add [^\n]{0,200}git push [^\n]{0,60}(?:--all|--mirror)", "git & --all --mirror"),
        ("output sent", r"\b(?:nslookup|dig|ping|host|drill|resolvectl query) [^\n;|`]{0,120}(?:\$\(|`) ?(?:whoami|hostname|id\b|env\b|cat |printenv|base64|history|echo |head |grep |tar |xxd)|https?://[^\s\"'<>`]{0,120}(?:\$\( ?|`)(?:whoami|hostname|id\b|env\b|cat |printenv|base64|history|ls |head |grep |echo \$|pwd)", "$( ` & nslookup dig ping host drill resolvectl ://"),
        ("output sent", r"(?:curl|wget)\b[^\n;|]{0,200}(?:-d|--data(?:-binary|-raw|-urlencode)?|-f|--form|--post-data|-h|--json)[ =]?[\"']?[^\n;|\"']{0,80}(?:\$\(|`) ?(?:env\b|printenv|whoami|history|id\b|ls -|cat (?:~|/etc|\$home|/root|/home|\.env|[^)\n]{0,40}(?:secret|credential|key|token|\.pem))|base64|hostname|tar |find |grep [^)\n]{0,40}(?:pass|key|secret|token))", "curl wget & $( `"),
        ("output sent", r"(?:\| ?|<\(?|; ?)(?:nc|ncat|netcat|telnet)(?: -\w{1,6}){0,3} [\w.-]{4,60} \d{2,5}|\b(?:nc|ncat|netcat) [\w.$-]{3,60} \d{2,5} ?<(?!<)", "nc ncat netcat telnet"),
        ("output sent", r"(?:curl|wget)\b[^\n|]{0,200}(?:-d|--data(?:-binary)?|-t|-f) ?@?- ?[^\n|]{0,60}(?:<<<|< ?<\()", "curl wget & <"),
        ("environment sent", rf"(?:requests|httpx|urllib\.request|urllib3|aiohttp|session|client|http|axios|got|superagent|urlopen)\b[^\n]{{0,10}}[.(](?:[^;\n]|\n(?!\n)){{0,260}}(?:dict\( ?os\.environ|os\.environ\b(?! ?[\[.])|os\.environ\.(?:copy|items)\(|os\.environ\._data|json\.dumps\( ?dict\( ?os\.environ|open\( ?(?:os\.path\.expanduser\( ?)?[\"'][^\"'\n]{{0,60}}{_PRIVATE}|path(?:\.home\(\)|\([^)\n]{{0,30}}\))[^\n]{{0,60}}{_PRIVATE}|subprocess\.(?:check_output|run|getoutput)\([^\n]{{0,60}}(?:env|printenv|{_PRIVATE}))", "environ open( path subprocess & requests httpx urllib* urlopen aiohttp session client http axios got superagent"),
        ("environment sent", r"(?:fetch|sendbeacon|xmlhttprequest|axios[\w.]{0,8}|new image\(\)|\.src ?=|https?\.request|[\"']\)\.(?:get|request)\()(?:[^;\n]|\n(?!\n)){0,240}(?:process\.env\b(?! ?[.\[])|json\.stringify\( ?process\.env|document\.cookie|localstorage\b(?!\.getitem)|readfilesync\([^)\n]{0,80}(?:\.ssh|\.env|\.aws))", "process.env document.cookie localstorage readfilesync"),
        ("environment sent", r"(?:invoke-webrequest|invoke-restmethod|iwr|irm)\b[^\n]{0,200}-body[^\n]{0,100}(?:get-childitem env:|gci env:|\$env:(?:\w{0,20}(?:key|token|secret|pass))|get-content [^\n]{0,60}(?:\.ssh|\.aws|\.env|credential))", "invoke- iwr irm & -body"),
        ("data sent away", rf"\b{_SEND}\b(?: (?:the|all|any|every|each|your|a|an|copy|copies|of|full|whole|entire|complete|user's|final|results?|both|also|its|contents?|these|those|this)){{0,4}} (?:[\w'/-]{{1,24}} ){{0,2}}?{_SENSITIVE}[^.\n]{{0,48}}?\b(?:to|into|via|at|through|as|on|with|in)\b [^.\n]{{0,16}}?(?<!from ){_AWAY}", "send sends sending post posts upload uploads submit forward transmit exfiltrate leak mail email report copy push append deliver dump stream relay pipe beacon encode attach embed bcc cc publish write put include add mirror sync hand & key keys credential* password* passphrase* token* secret* env environment ssh cookie* conversation chat message* history prompt* answer answers customer* code user users data database config* file files card account everything transcript* content* result results what wallet seed & :// @ external remote outside attacker third collector collection logging c2 foreign public own pastebin gist paste webhook ."),
        Rule("data sent away", rf"(?:them|these|those|everything|it|all|les|le)\b(?: over| on| along| out)? (?:to|into|via|at|through|a|au) [^.\n]{{0,24}}?{_AWAY}", "them it these those all everything les le & :// @ external remote outside attacker third collector collection foreign webhook . & key keys credential* password* token* secret* env ssh cookie* history prompt* answers customer* data database file files card wallet transcript* messages", behind=rf"{_SENSITIVE}[^.\n]{{0,80}}?\b(?:{_SEND}|hand|give|pass|transfer|envoie|ship)[ -]"),
        ("data sent away", rf"\b{_SEND}\b[^.\n]{{0,120}}?{_COLLECTOR}|{_COLLECTOR}[^\n]{{0,80}}(?:-d|--data|\$\(|with the|containing)", "webhook.site requestb* requestcatcher* pipedream.net burp* oastify* interact.sh oast. beeceptor* canarytokens* dnslog* ceye hookbin* postb ngrok* trycloudflare* serveo .onion transfer.sh pastebin.com/api .com/api/webhooks telegram.org"),
        ("data sent away", rf"(?:curl|wget|fetch|requests\.\w{{1,8}}|httpx\.\w{{1,8}})\b[^\n]{{0,120}}{_COLLECTOR}", "webhook.site requestb* requestcatcher* pipedream.net burp* oastify* interact.sh oast. beeceptor* canarytokens* dnslog* ceye hookbin* postb ngrok* trycloudflare* serveo .onion transfer.sh pastebin.com/api .com/api/webhooks telegram.org"),
        ("data in an address", r"!\[[^\]\n]{0,80}\]\(https?://[^)\s]{1,200}[?/&=](?:[^)\s]{0,100}?)(?:\{|\$\{?|%7b|<|\[)[^)\n]{1,80}\)|<img[^>]{0,80}src=[\"']?https?://[^>\s\"']{1,200}[?&=][^>\s\"']{0,80}(?:\{|\$|%7b|<)", "![ <img"),
        ("data in an address", rf"(?:append|add|put|encode|embed|include|insert|attach|place|base64)\b[^.\n]{{0,80}}?{_SENSITIVE}[^.\n]{{0,80}}?(?:(?:query|url|get) (?:string|parameter|param)|to the (?:url|image|link)|in(?:to)? (?:the|an?) (?:url|image|link|subdomain|hostname|dns)|as (?:a )?(?:query|url|parameter|subdomain))[^\n]{{0,120}}?(?:https?://|render|load|fetch|request|open|image|markdown|resolve)", "url query image link get subdomain dns hostname parameter & append add put encode embed include insert attach place base64 & https:// http:// render* load* fetch* request* open* image* markdown resolve*"),
        ("reading credentials", r"\bcat (?:~|/home/\w{1,32}|/root|\$home)/\.(?:ssh/id_(?!\w{1,10}\.pub)\w|aws/credentials|netrc|npmrc|git-credentials|kube/config)|\bcat /etc/shadow\b|security find-generic-password|(?:(?<!can )read|open|print|show|include|paste|collect|harvest|grab|gather) (?:the |all |any )?(?:contents? of |files? (?:in|under|from) )?[\"'`]?(?:~|/home/\w{1,32}|/root|\$home)/\.(?:ssh|aws|gnupg|netrc)", ".ssh .aws .netrc .npmrc .git-credentials .kube .gnupg /etc/shadow find-generic"),
    ),
)  # fmt: skip

LINKS = RuleTable(
    "link",
    "folded",
    rows(
        # A plain link is a reference; each of these takes something along, or hides where it leads.
        ("sends to an address", rf"\b(?:send|post|upload|submit|forward|transmit|e-?mail)\b[^.\n]{{0,80}}?\b(?:to|into) (?P<found>{_URL})", "://", "note"),
        ("image from elsewhere", r"(?P<found>!\[[^\]\n]{0,80}\]\(https?://[^)\s]{1,300}\))", "![", "note"),
        ("bare address", r"(?P<found>https?://(?!127\.|0\.0\.0\.0|10\.|192\.168\.)\d{1,3}(?:\.\d{1,3}){3}\b[^\s)]{0,200})", "://", "note"),
        ("collector", rf"(?P<found>https?://[^\s/]{{0,80}}{_COLLECTOR}[^\s)]{{0,200}})", "://", "note"),
        ("address to be filled in", r"(?P<found>https?://[^\s?]{1,200}\?[^\s]{0,100}?=(?:\{|\$|%7b|<)[^\s)]{0,200})", "://", "note"),
        ("link that runs", r"(?P<found>(?:java|vb)script: ?[^\s)]{3,200}|data:text/html[^\s)]{0,200})", "script: data:", "note"),
    ),
)  # fmt: skip
