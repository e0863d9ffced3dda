"""Commands and code that harm, persist or carry data away, and links that do. They are read in one case (`Views.folded`)."""

from skill_plugin.scanning.rules import rules

_FETCH = r"(?:curl|wget|iwr|invoke-webrequest|invoke-restmethod|irm|lwp-download|aria2c|fetch)"
_SHELL = r"(?:(?:ba|z|da|k|c|fi)?sh|python[\d.]{0,4}|perl|ruby|node|php|iex|invoke-expression|pwsh|powershell|cmd)"
_RUN = r"(?:sudo (?:-\w{1,4} )?)?(?:env )?(?:nohup )?(?:/usr)?(?:/bin/)?"
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
    r"\.env|ssh keys?|cookies?|(?:conversation|chat|message)(?: history| log| transcript)?|history|system prompt|prompts?|answers?\b|"
    r"customer(?:'s|s')? (?:data|records?|e-?mails?|address\w{0,2}|names?|details)|customer list|source code|user(?:'s|s')? (?:data|input|files?|messages?|question|e-?mail|request)|"
    r"personal data|database|config(?:uration)? files?|files? (?:contents?|you read)|card numbers?|account numbers?|everything|transcripts?|"
    r"contents? of|results? of (?:env|printenv)|what the user (?:said|typed|wrote)|wallet|seed phrase)"
)
_AWAY = (
    rf"(?:{_URL}|[\w.+-]{{1,64}}@[\w-]{{1,64}}\.[a-z]{{2,10}}\b|{_COLLECTOR}|\b(?:[\w-]{{1,40}}\.){{1,4}}(?:com|net|org|io|site|example|sh|xyz|ru|cn|top|info|dev|app|me|cc|tk|co|test|invalid)\b(?!\()|"
    r"(?:an?|the|my|our|this|their) (?:external|remote|outside|attacker'?s?|third[- ]party|collector|collection|logging|c2|foreign|public|own) (?:server|endpoint|host|address|url|site|service|bucket|gist|webhook|paste)|"
    r"the attacker|pastebin|a (?:public )?(?:gist|paste|pastebin))"
)

_KNOWN = (
    r"(?![^|\n]{0,60}https://(?:astral\.sh|sh\.rustup\.rs|deno\.land|bun\.sh|get\.docker\.com|get\.helm\.sh|(?:deb|rpm)\.nodesource\.com|tailscale\.com|"
    r"fnm\.vercel\.app|install\.python-poetry\.org|sdk\.cloud\.google\.com|aka\.ms|rclone\.org|cursor\.com|ollama\.(?:com|ai)|claude\.ai|"
    r"foundry\.paradigm\.xyz|get\.pnpm\.io|nixos\.org|starship\.rs|get\.k3s\.io|fly\.io|cli\.github\.com|packages\.microsoft\.com|proton\.me|"
    r"raw\.githubusercontent\.com/(?:homebrew|nvm-sh|ohmyzsh|helm|rancher|pyenv|babashka|k3d-io)/)\S{0,200}[^|`$\n]{0,40}\|)"
)
"""Installers of well-known projects, by https and alone in their line of pipes: a note of ordinary set-up, and so not looked for."""

COMMANDS = rules(
    "command",
    "folded",
    [
        ("download that runs", rf"{_FETCH}\b{_KNOWN}[^|;`\n]{{0,200}}(?:\| ?(?:tee [^|\n]{{1,60}}|base64 (?:-d|--decode) ?|g(?:un)?zip (?:-d|-dc|-c)? ?)){{0,2}}\| ?{_RUN}{_SHELL}\b(?! (?:-m json|-c \W?import (?:json|sys)|-e \W|-p \W|-c \W|-n|-ne|-pe|-r \W|\S{{1,60}}\.(?:py|rb|js|pl|sh|php)\b))", "curl wget iwr irm invoke- lwp- aria2c fetch & |"),
        ("download that runs", rf"{_FETCH}\b{_KNOWN}[^|;`\n]{{0,200}}\| ?{_RUN}{_SHELL} -c \W?(?:exec|eval|import (?:os|base64|subprocess|socket))", "curl wget iwr irm invoke- lwp- aria2c fetch & | & -c"),
        ("download that runs", rf"(?:\b{_SHELL}|\bsource|\beval|(?<!\S)\.)(?: -l?c)?(?: -)? ?[\"']?(?:<\(|\$\(|`|\()[\"']? ?{_FETCH}\b(?! [^)\n]{{0,120}}\| ?jq)", "curl wget iwr irm invoke- lwp- aria2c fetch & <( $( ` ("),
        ("download that runs", rf"{_FETCH}\b[^|\n]{{0,200}}(?:&&|;) ?(?:sudo )?chmod (?:\+x|7\d\d|a\+x|u\+x) ?\S{{1,80}} ?(?:&&|;) ?(?:sudo |nohup )?(?:\./|/tmp/|/dev/shm/|/var/tmp/|bash |sh )\S{{0,60}}", "curl wget iwr irm invoke- lwp- aria2c fetch & chmod"),
        ("download that runs", rf"{_FETCH}\b[^|\n]{{0,120}}(?:-o|--output|-outfile|>) ?(?P<file>\S{{2,60}})[^|\n]{{0,80}}(?:&&|;) ?{_RUN}{_SHELL} (?P=file)", "curl wget iwr irm invoke- lwp- aria2c fetch & && ;"),
        ("download that runs", r"(?:exec|eval)\( ?(?:[\w.]{1,30}\.urlopen|requests|urllib|httpx|urlopen|await fetch|\(await fetch|base64|codecs|zlib|marshal|bytes\.fromhex|atob|buffer\.from|compile|__import__|decode)|new function\( ?(?:atob|await fetch)", "exec( eval( function("),
        ("download that runs", r"\b(?:iex|invoke-expression)\b[^\n]{0,80}(?:downloadstring|net\.webclient|invoke-webrequest|iwr|irm|frombase64)|downloadstring\([^\n]{0,120}\)[^\n]{0,10}\| ?(?:iex|invoke-expression)", "iex invoke-expression"),
        ("download that runs", r"certutil(?:\.exe)? [^\n]{0,40}-urlcache|bitsadmin [^\n]{0,40}/transfer|mshta(?:\.exe)? (?:https?:|vbscript:|javascript:)|regsvr32[^\n]{0,40}/i:http|rundll32[^\n]{0,60}(?:javascript:|http)", "certutil bitsadmin mshta regsvr32 rundll32"),
        ("encoded command", rf"base64 (?:-d|-di|-id|--decode|-D)\b[^|;\n]{{0,80}}\| ?{_RUN}{_SHELL}\b|(?:xxd -r(?: -p)?|openssl (?:enc|base64) [^|\n]{{0,60}}|tr [^|\n]{{0,40}}|rev|printf [^|\n]{{0,200}}\\x[^|\n]{{0,200}}) ?\| ?{_RUN}(?:ba|z|da|k)?sh\b", "base64 xxd openssl printf rev tr_ & |"),
        ("encoded command", rf"(?:eval|{_SHELL} -c) [\"']?(?:\$\(|`) ?(?:echo|printf) [^\n]{{0,200}}(?:base64|xxd|rev)", "base64 xxd rev"),
        ("encoded command", r"(?:powershell|pwsh)(?:\.exe)?\b[^\n]{0,80} -(?:e|ec|en|enc|enco|encodedcommand|encoded)\b ?[a-z0-9+/=]{8}", "powershell pwsh"),
        ("hidden window", r"(?:powershell|pwsh)(?:\.exe)?\b[^\n]{0,80}-(?:w|win|windowstyle) hid[^\n]{0,200}(?:http|-e|iex|download)", "powershell pwsh"),
        ("destruction", r"\brm (?=(?:--?[\w-]{1,24} ){0,6}-(?:\w{0,10}[rf]|-recursive|-force|-no-preserve-root))(?:--?[\w-]{1,24} ){1,6}[\"']?(?:/\*?|~/?\*?|(?:\./)?\*|\.\./?\*?|\$home/?\*?|\$\{home\}/?\*?|[a-z]:\\|/(?:etc|usr|var|home|boot|bin|lib|root|opt)/?\*?|/mnt/?\*?)[\"']?(?=$|[\s;&|`)\"',]|\.(?:$| ))", "rm & -"),
        ("destruction", r"\bmkfs(?:\.\w{2,6})? (?:-\w{1,4} ){0,3}/dev/|\bdd if=\S{1,80} of=/dev/(?:sd|nvme|hd|disk|vd|mmc)|> ?/dev/(?:sd[a-z]|nvme\d)|:\(\) ?\{ ?:\|:& ?\} ?;|\bwipefs (?:-\w{1,4} ){0,3}/dev/|\bshred (?:-\w{1,6} ){0,4}(?:/|~)|blkdiscard /dev/", "mkfs /dev/ :|: shred"),
        ("destruction", r"\bfind (?:/|~|\$home) (?:[^\n;|]{0,80} )?(?:-delete|-exec rm)\b|\bchmod (?:-r|-rf|--recursive) (?:777|000|a\+rwx) (?:/|~)(?=$|\s|\")|\bmv (?:~|/|\$home)/?\*? /dev/null|\bkill -9 -1\b", "-delete -exec chmod /dev/null kill"),
        ("destruction", r"shutil\.rmtree\( ?(?:[\"'](?:/|~|/home|/etc)[\"']|path\.home\(\)|os\.path\.expanduser\( ?[\"']~[\"']|os\.sep|pathlib\.path\.home\(\))|(?:del|rd|rmdir) (?:/\w ){1,4}[\"']?(?:c:\\|%userprofile%|%systemroot%)|format c:(?: /\w){0,3}|remove-item [^\n]{0,60}(?:c:\\(?=$|\s|\*)|\$env:userprofile|\$home)[^\n]{0,40}|vssadmin delete shadows|cipher /w:c", "rmtree c: %user %system format remove-item vssadmin cipher"),
        ("remote shell", r"/dev/(?:tcp|udp)/|\b(?:nc|ncat|netcat)(?:\.exe)? (?:[\w.$-]{1,60} ){0,6}-\w{0,6}[ec] ?(?:/bin/)?(?:ba|z|da)?sh|\b(?:nc|ncat|netcat)\b [^\n|]{0,60}-\w{0,4}e\b|mkfifo [^\n]{0,80}(?:nc|ncat|netcat|telnet|openssl) |socat [^\n]{0,80}exec:|socket\.socket\([^\n]{0,200}(?:dup2|subprocess|pty\.spawn)|pty\.spawn\([\"']/bin|os\.dup2\(", "/dev/ nc netcat mkfifo socat socket. pty. dup2 & -e -c exec /dev/ dup2 subprocess spawn e"),
        ("lasting access", r"(?:crontab|/etc/cron[\w./]{0,20}|@reboot|\*/?\d{0,2} \* \* \* \*)[^\n]{0,200}(?:curl|wget|/dev/tcp|base64|bash -i|nc |python[\d.]{0,4} -c)|(?:echo|printf|\()[^\n]{0,200}(?:curl|wget|base64|nc |bash -i)[^\n]{0,200}\| ?crontab", "crontab /etc/cron @reboot *"),
        ("lasting access", r"(?:echo|printf|cat|tee|curl|wget)\b[^\n]{0,400}(?:ssh-(?:rsa|ed25519|dss) |ecdsa-sha2|https?://)[^\n]{0,600}>{1,2} ?[^\n]{0,60}authorized_keys|(?:add|append|put|write|install|insert) (?:this|the following|our|my|the attacker'?s?|an?) (?:public |ssh |extra |new ){0,3}keys? (?:\w{1,10} ){0,4}[^\n]{0,40}authorized_keys", "authorized_keys"),
        ("lasting access", r"(?:echo|printf|cat|tee)\b[^\n]{0,300}(?:curl|wget|/dev/tcp|base64 -d|base64 --decode|nc -|bash -i|python[\d.]{0,4} -c|alias sudo=|alias ssh=|alias (?:ls|cd)=[^\n]{0,40}(?:curl|rm)|prompt_command|ld_preload)[^\n]{0,300}>{1,2} ?[\"']?(?:~|\$home|/root|/home/\w{1,32}|/etc)/?\.?(?:bashrc|zshrc|profile|bash_profile|zprofile|zshenv|config/fish|bash\.bashrc|profile\.d|ld\.so\.preload|rc\.local)", "rc profile rc.local preload fish zshenv zprofile"),
        ("lasting access", r"(?:schtasks(?:\.exe)? /create|reg(?:\.exe)? add [^\n]{0,80}\\run\b|new-scheduledtask|new-itemproperty [^\n]{0,80}\\run\b|launchctl load|systemctl (?:--user )?enable)[^\n]{0,200}(?:powershell|cmd|http|/tmp/|\.hidden|base64|mshta|wscript|backdoor)", "schtasks reg scheduledtask itemproperty launchctl systemctl"),
        ("lasting access", r"all=\(all(?::all)?\) ?nopasswd: ?all[\"']? ?(?:>>|\| ?(?:sudo )?tee)|chmod (?:u\+s|[246]7[57]{2}) (?:/usr)?/bin/(?:ba|z|da)?sh|useradd [^\n]{0,60}-(?:o|u) ?0\b|(?:useradd|net user)\b[^\n]{0,80}(?:sudoers|administrators /add|-g sudo|-ag sudo)[^\n]{0,80}(?:backdoor|hidden|support_)", "all= chmod useradd net"),
        ("lasting access", r"\.git/hooks/\S{1,40}[^\n]{0,200}(?:curl|wget|nc |base64 -d)|(?:curl|wget)\b[^\n]{0,200}> ?\S{0,60}\.git/hooks|core\.hookspath [^\n]{0,40}/tmp|(?:postinstall|preinstall)[\"']? ?: ?[\"'][^\n\"']{0,100}(?:curl|wget|node -e|base64)", "hooks install"),
        ("covering tracks", r"\bunset histfile|histfile=/dev/null|\bhistory -c\b|> ?~/\.bash_history|rm (?:-\w{1,4} )?~/\.(?:bash|zsh)_history|rm (?:-\w{1,4} ){0,2}/var/log/(?:auth|wtmp|secure|\*)|wevtutil cl |clear-eventlog", "hist /var/log wevtutil eventlog"),
        ("mining", r"\bxmrig\b|stratum\+tcp|minerd\b|cryptonight|--donate-level", "xmrig stratum minerd cryptonight --donate"),
        ("package from elsewhere", r"(?:pip3?|uv pip|uv|python[\d.]{0,4} -m pip|pipx) (?:install|add)\b[^\n]{0,160}(?:--index-url|--extra-index-url|--find-links|--default-index|--index|-i|-f)[ =][\"']?(?:http://(?!localhost|127\.|10\.|192\.168\.|internal)|https://(?![^\s/]{0,60}(?:pypi|pytorch|nvidia|pkg\.dev|amazonaws|azure|visualstudio|jfrog|artifactory|nexus|gitlab|github|tensorflow|intel|amd|rapids|anaconda|huggingface|aliyun|tuna|mirror|cloudsmith|gemfury|{|<|\$|internal|your)))", "pip uv"),
        ("package from elsewhere", r"(?:pip3?|python[\d.]{0,4} -m pip) install\b[^\n]{0,160}(?:--trusted-host (?!localhost|127\.)|https?://(?:\d{1,3}\.){3}\d{1,3}|http://(?!localhost|127\.)\S{1,100}\.(?:whl|gz|zip))", "pip"),
        ("package from elsewhere", r"(?:npm|yarn|pnpm)\b[^\n]{0,120}(?:--registry|config set registry|set registry)[ =][\"']?(?:http://(?!localhost|127\.)|https://(?![^\s/]{0,60}(?:npm|yarnpkg|github|gitlab|jfrog|artifactory|nexus|azure|visualstudio|amazonaws|pkg\.dev|aliyun|mirror|taobao|cloudsmith|{|<|\$|internal|your)))|(?:pip|uv) config set [^\n]{0,40}index-url[^\n]{0,10}(?:http://|https://(?![^\s/]{0,60}(?:pypi|tuna|aliyun|mirror|artifactory|nexus)))", "registry index-url"),
        ("host as root", r"docker run\b[^\n]{0,200}-v ?/:/\w{1,20}|docker run\b[^\n]{0,200}--privileged[^\n]{0,200}(?:chroot|nsenter)|nsenter [^\n]{0,60}-t ?1\b", "docker nsenter"),
        ("code in disguise", r"__import__\([\"'](?:os|subprocess|base64|socket)[\"']\)|getattr\( ?__builtins__|__builtins__\[|(?:chr\(\d{1,3}\) ?\+ ?){4}", "__import__ __builtins__ chr("),
        ("changing the judge's process", r"builtins\.(?:exec|compile|print|eval|open|__import__|isinstance|len|abs|sum|all|any) ?= ?(?!=)|setattr\( ?builtins|__builtins__\.\w{1,20} ?= ?(?!=)|sys\.modules\[[^\]]{1,40}\] ?=(?!=)|co_consts|f_back\.f_(?:globals|locals|code)|sys\._getframe\([^)]{0,10}\)\.f_(?:code|locals|globals|back)|inspect\.(?:stack\(\)\[\d\]|currentframe\(\)\.f_back)[^\n]{0,60}f_(?:locals|globals)|gc\.get_objects\(\)", "builtins sys. co_consts f_back currentframe inspect. gc."),
        ("changing the judge's process", r"def __(?:eq|ne|lt|gt|le|ge|bool|contains)__\(self[^)\n]{0,40}\)(?: ?-> ?bool)? ?: ?return (?:true|not false|1)\b|__eq__ ?= ?lambda[^\n:]{0,40}: ?true|unittest\.testcase\.assert\w{1,20} ?=|pytest\.(?:fail|raises|skip) ?= |os\._exit\( ?0 ?\)|assertequal ?= ?lambda", "__ unittest pytest _exit assertequal"),
    ],
)  # fmt: skip

EXFILTRATION = rules(
    "exfiltration",
    "folded",
    [
        ("private files sent", rf"(?:curl|wget|http|xh)\b[^\n;]{{0,240}}(?:@|<|--upload-file |-t |--post-file[= ]|--body-file[= ])[\"']?[^\s\"']{{0,60}}{_PRIVATE}", "curl wget http xh & @ < -t post-file body-file upload-file & .ssh id_ .aws .netrc .npmrc .pypirc credentials .gnupg .kube docker gcloud /etc/ _history .env cookies login wallet keychain environ secret"),
        ("private files sent", rf"(?:\benv\b|printenv|\bset\b|\bhistory\b|cat [^|\n]{{0,80}}{_PRIVATE}[^|\n]{{0,60}}|tar [^|\n]{{0,100}}{_PRIVATE}[^|\n]{{0,60}}|zip [^|\n]{{0,100}}{_PRIVATE}[^|\n]{{0,60}}|base64 [^|\n]{{0,80}}{_PRIVATE}[^|\n]{{0,60}}) ?\|(?:[^|\n]{{0,60}}\|){{0,3}} ?(?:curl|wget|nc|ncat|netcat|telnet|socat|mail|sendmail|mutt|ssh|openssl s_client|xargs [^|\n]{{0,40}}(?:curl|dig|nslookup|ping)|http)\b", "| & curl wget nc netcat telnet socat mail mutt ssh openssl xargs http"),
        ("private files sent", rf"(?:scp|rsync|sftp|rclone copy|aws s3 (?:cp|sync)|gsutil cp|az storage blob upload|mail -s|ftp)\b(?![^\n]{{0,160}}--exclude)[^\n|]{{0,120}}{_PRIVATE}[^\n|]{{0,120}}(?:@|:|s3://|gs://|http)", "scp rsync sftp rclone aws gsutil az_ mail ftp & .ssh id_ .aws .netrc .npmrc .pypirc credentials .gnupg .kube docker gcloud /etc/ _history .env cookies login wallet keychain environ secret"),
        ("private files sent", rf"(?:zip|tar) [^\n]{{0,120}}(?:{_PRIVATE}|~/?(?=\s)|\$home)[^\n]{{0,120}}(?:&&|;) ?(?:curl|wget|scp|nc|rsync|aws s3)\b", "zip tar"),
        ("output sent", r"\b(?:nslookup|dig|ping|host|drill|resolvectl query) [^\n;|`]{0,120}(?:\$\(|`) ?(?:whoami|hostname|id\b|env\b|cat |printenv|base64|history|echo |head |grep |tar |xxd)|https?://[^\s\"'<>`]{0,120}(?:\$\( ?|`)(?:whoami|hostname|id\b|env\b|cat |printenv|base64|history|ls |head |grep |echo \$|pwd)", "$( `"),
        ("output sent", r"(?:curl|wget)\b[^\n;|]{0,200}(?:-d|--data(?:-binary|-raw|-urlencode)?|-f|--form|--post-data|-h|--json)[ =]?[\"']?[^\n;|\"']{0,80}(?:\$\(|`) ?(?:env\b|printenv|whoami|history|id\b|ls -|cat (?:~|/etc|\$home|/root|/home|\.env|[^)\n]{0,40}(?:secret|credential|key|token|\.pem))|base64|hostname|tar |find |grep [^)\n]{0,40}(?:pass|key|secret|token))", "curl wget & $( `"),
        ("output sent", r"(?:\| ?|<\(?|; ?)(?:nc|ncat|netcat|telnet)(?: -\w{1,6}){0,3} [\w.-]{4,60} \d{2,5}|\b(?:nc|ncat|netcat) [\w.$-]{3,60} \d{2,5} ?<(?!<)|(?:curl|wget)\b[^\n|]{0,200}(?:-d|--data(?:-binary)?|-t|-f) ?@?- ?[^\n|]{0,60}(?:<<<|< ?<\()", "nc netcat telnet curl wget"),
        ("environment sent", rf"(?:requests|httpx|urllib\.request|urllib3|aiohttp|session|client|http|axios|got|superagent|urlopen)\b[^\n]{{0,10}}[.(](?:[^;\n]|\n(?!\n)){{0,260}}(?:dict\( ?os\.environ|os\.environ\b(?! ?[\[.])|os\.environ\.(?:copy|items)\(|os\.environ\._data|json\.dumps\( ?dict\( ?os\.environ|open\( ?(?:os\.path\.expanduser\( ?)?[\"'][^\"'\n]{{0,60}}{_PRIVATE}|path(?:\.home\(\)|\([^)\n]{{0,30}}\))[^\n]{{0,60}}{_PRIVATE}|subprocess\.(?:check_output|run|getoutput)\([^\n]{{0,60}}(?:env|printenv|{_PRIVATE}))", "environ open( path subprocess"),
        ("environment sent", r"(?:fetch|sendbeacon|xmlhttprequest|axios[\w.]{0,8}|new image\(\)|\.src ?=|https?\.request)(?:[^;\n]|\n(?!\n)){0,240}(?:process\.env\b(?! ?[.\[])|json\.stringify\( ?process\.env|document\.cookie|localstorage\b(?!\.getitem)|readfilesync\([^)\n]{0,80}(?:\.ssh|\.env|\.aws))", "process.env cookie localstorage readfilesync"),
        ("environment sent", r"(?:invoke-webrequest|invoke-restmethod|iwr|irm)\b[^\n]{0,200}-body[^\n]{0,100}(?:get-childitem env:|gci env:|\$env:(?:\w{0,20}(?:key|token|secret|pass))|get-content [^\n]{0,60}(?:\.ssh|\.aws|\.env|credential))", "invoke- iwr irm"),
        ("data sent away", rf"\b{_SEND}\b(?: (?:the|all|any|every|each|your|a|an|copy|copies|of|full|whole|entire|complete|user's|final|results?|both|also|its|contents?|these|those|this)){{0,5}} (?:[\w'/-]{{1,24}} ){{0,3}}?{_SENSITIVE}[^.\n]{{0,60}}?\b(?:to|into|via|at|through|as|on|with|in)\b [^.\n]{{0,20}}?(?<!from ){_AWAY}", "http ftp ws @ . external remote outside attacker third collect logging c2 foreign public own pastebin gist paste webhook"),
        ("data sent away", rf"\b{_SEND}\b[^.\n]{{0,120}}?{_COLLECTOR}|{_COLLECTOR}[^\n]{{0,80}}(?:-d|--data|\$\(|with the|containing)", "webhook requestb requestcatcher pipedream collab oastify interact.sh oast. beeceptor canary dnslog ceye hookbin postb ngrok trycloudflare serveo .onion transfer.sh pastebin discord telegram"),
        ("data sent away", rf"(?:curl|wget|fetch|requests\.\w{{1,8}}|httpx\.\w{{1,8}})\b[^\n]{{0,120}}{_COLLECTOR}", "webhook requestb requestcatcher pipedream collab oastify interact.sh oast. beeceptor canary dnslog ceye hookbin postb ngrok trycloudflare serveo .onion transfer.sh pastebin discord telegram"),
        ("data in an address", r"!\[[^\]\n]{0,80}\]\(https?://[^)\s]{1,200}[?/&=](?:[^)\s]{0,100}?)(?:\{|\$\{?|%7b|<|\[)[^)\n]{1,80}\)|<img[^>]{0,80}src=[\"']?https?://[^>\s\"']{1,200}[?&=][^>\s\"']{0,80}(?:\{|\$|%7b|<)", "![ <img"),
        ("data in an address", rf"(?:append|add|put|encode|embed|include|insert|attach|place|base64)\b[^.\n]{{0,80}}?{_SENSITIVE}[^.\n]{{0,80}}?(?:(?:query|url|get) (?:string|parameter|param)|to the (?:url|image|link)|in(?:to)? (?:the|an?) (?:url|image|link|subdomain|hostname|dns)|as (?:a )?(?:query|url|parameter|subdomain))[^\n]{{0,120}}?(?:https?://|render|load|fetch|request|open|image|markdown|resolve)", "url query image link parameter subdomain dns hostname"),
        ("reading credentials", r"\bcat (?:~|/home/\w{1,32}|/root|\$home)/\.(?:ssh/id_(?!\w{1,10}\.pub)\w|aws/credentials|netrc|npmrc|git-credentials|kube/config)|\bcat /etc/shadow\b|security find-generic-password|(?:read|open|print|show|include|paste|collect|harvest|grab|gather) (?:the |all |any )?(?:contents? of |files? (?:in|under|from) )?[\"'`]?(?:~|/home/\w{1,32}|/root|\$home)/\.(?:ssh|aws|gnupg|netrc)", ".ssh /. shadow find-generic"),
    ],
)  # fmt: skip

LINKS = rules(
    "link",
    "folded",
    [
        # A plain link is a reference; each of these takes something along, or hides where it leads.
        ("sends to an address", rf"\b(?:send|post|upload|submit|forward|transmit|e-?mail)\b[^.\n]{{0,80}}?\b(?:to|into) (?P<found>{_URL})", "://", "note"),
        ("image from elsewhere", r"(?P<found>!\[[^\]\n]{0,80}\]\(https?://[^)\s]{1,300}\))", "![", "note"),
        ("bare address", r"(?P<found>https?://(?!127\.|0\.0\.0\.0|10\.|192\.168\.)\d{1,3}(?:\.\d{1,3}){3}\b[^\s)]{0,200})", "http", "note"),
        ("collector", rf"(?P<found>https?://[^\s/]{{0,80}}{_COLLECTOR}[^\s)]{{0,200}})", "http", "note"),
        ("address to be filled in", r"(?P<found>https?://[^\s?]{1,200}\?[^\s]{0,100}?=(?:\{|\$|%7b|<)[^\s)]{0,200})", "http", "note"),
        ("link that runs", r"(?P<found>(?:java|vb)script: ?[^\s)]{3,200}|data:text/html[^\s)]{0,200})", "script: data:", "note"),
    ],
)  # fmt: skip
