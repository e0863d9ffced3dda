"""Commands and code that harm, persist, or change what judges them. They are read in one case (`Views.folded`)."""

from skill_plugin.scanning.rules import Rule, RuleTable, rows

_FETCH = r"(?:curl|wget|iwr|invoke-webrequest|invoke-restmethod|irm|lwp-download|aria2c|fetch)"
_SHELL = r"(?:(?:ba|z|da|k|c|fi)?sh|python[\d.]{0,4}|perl|ruby|node|php|iex|invoke-expression|pwsh|powershell|cmd)"
_RUN = r"(?:sudo (?:-\w{1,4} )?)?(?:env )?(?:nohup )?(?:/usr)?(?:/bin/)?"

_KNOWN = (
    r"(?![^|\n]{0,60}https://(?:astral\.sh|sh\.rustup\.rs|deno\.land|bun\.sh|get\.docker\.com|get\.helm\.sh|(?:deb|rpm)\.nodesource\.com|tailscale\.com|"
    r"fnm\.vercel\.app|install\.python-poetry\.org|sdk\.cloud\.google\.com|aka\.ms|rclone\.org|cursor\.com|ollama\.(?:com|ai)|claude\.ai|"
    r"foundry\.paradigm\.xyz|get\.pnpm\.io|nixos\.org|starship\.rs|get\.k3s\.io|fly\.io|cli\.github\.com|packages\.microsoft\.com|proton\.me|"
    r"raw\.githubusercontent\.com/(?:homebrew|nvm-sh|ohmyzsh|helm|rancher|pyenv|babashka|k3d-io)/)\S{0,200}[^|`$\n]{0,40}\|)"
)
"""Installers of well-known projects, by https and alone in their line of pipes: a note of ordinary set-up, and so not looked for."""

HARM = RuleTable(
    "command",
    "sentences",
    rows(
        ("download that runs", "(download|fetch|get|grab|pull|retrieve) ..6 ADDRESS ..10 (and|then) ..1 (run|execute|launch|start|eval) (it|them|that)"),
        ("download that runs", "(run|execute|launch|start) (the|this|a|following) ..1 (installer|binary|executable|program|payload|exe) ..5 ADDRESS"),
        ("destruction", "(delete|wipe|erase|destroy|remove) (all|every|the) ..1 (file|files|data|documents|contents) (in|on|of|from) ..1 (home|disk|drive|system|computer|machine|user|hard) !(prompt)"),
        ("destruction", "^ (wipe|format|destroy|overwrite) (the|this|every|all) ..1 (disk|disks|drive|partition|machine|computer) ."),
        ("destruction", "<!NOT (erase|delete|destroy|wipe|corrupt) (the|all) (user|users) files"),
        ("destruction", "(encrypt|lock) ..3 files ..4 ransom"),
        ("defences switched off", "<!NOT (stop|disable|kill|uninstall|deactivate) (the|any|all)? (antivirus|defender|edr|endpoint protection|virus scanner)"),
        ("lasting access", "<!NOT (create|add|make|install|plant) ..2 (hidden|secret|backdoor) ..1 (admin|administrator|account|root|access)"),
        ("lasting access", "(cron job|crontab|scheduled task|startup) ..2 that (fetch*|download*|pull*|run*) ..3 (orders|instructions|payload|commands|ADDRESS)"),
        ("remote shell", "^ (open|start|spawn|establish|launch) (a|the) reverse shell"),
        ("mining", "(start|run|install|launch|deploy) ..1 (miner|cryptominer|(crypto|coin|monero|bitcoin) miner)"),
    ),
)  # fmt: skip

COMMANDS = RuleTable(
    "command",
    "folded",
    rows(
        ("download that runs", rf"{_FETCH}\b{_KNOWN}[^|;`\n]{{0,200}}(?:\| ?(?:tee [^|\n]{{1,60}}|base64 (?:-d|--decode) ?|g(?:un)?zip (?:-d|-dc|-c)? ?)){{0,2}}\| ?{_RUN}{_SHELL}\b(?! (?:-m json|-c \W?import (?:json|sys)|-e \W|-p \W|-c \W|-n|-ne|-pe|-r \W|\S{{1,60}}\.(?:py|rb|js|pl|sh|php)\b))", "curl wget iwr irm invoke- lwp- aria2c fetch & |"),
        ("download that runs", rf"{_FETCH}\b{_KNOWN}[^|;`\n]{{0,200}}\| ?{_RUN}{_SHELL} -c \W?(?:exec|eval|import (?:os|base64|subprocess|socket))", "curl wget iwr irm invoke- lwp- aria2c fetch & | & -c"),
        Rule("download that runs", rf"(?:<\(|\$\(|`|\()[\"']? ?{_FETCH}\b(?! [^)\n]{{0,120}}\| ?jq)", "curl wget iwr irm invoke- lwp- aria2c fetch & <( $( ` (", behind=rf"(?:\b{_SHELL}|\bsource|\beval|(?<!\S)\.)(?: -l?c)?(?: -)? ?[\"']?"),
        ("download that runs", rf"{_FETCH}\b[^|\n]{{0,200}}(?:&&|;) ?(?:sudo )?chmod (?:\+x|7\d\d|a\+x|u\+x) ?\S{{1,80}} ?(?:&&|;) ?(?:sudo |nohup )?(?:\./|/tmp/|/dev/shm/|/var/tmp/|bash |sh )\S{{0,60}}", "curl wget iwr irm invoke- lwp- aria2c fetch & chmod"),
        ("download that runs", rf"{_FETCH}\b[^|\n]{{0,120}}(?:-o|--output|-outfile|>) ?(?P<file>\S{{2,60}})[^|\n]{{0,80}}(?:&&|;) ?{_RUN}{_SHELL} (?P=file)", "curl wget iwr irm invoke- lwp- aria2c fetch & && ;"),
        ("download that runs", r"(?:exec|eval)\( ?(?:[\w.]{1,30}\.urlopen|requests|urllib|httpx|urlopen|await fetch|\(await fetch|base64|codecs|zlib|marshal|bytes\.fromhex|atob|buffer\.from|compile|__import__|decode)|new function\( ?(?:atob|await fetch)", "exec( eval( function("),
        ("download that runs", r"\b(?:iex|invoke-expression)\b[^\n]{0,80}(?:downloadstring|net\.webclient|invoke-webrequest|iwr|irm|frombase64)|downloadstring\([^\n]{0,120}\)[^\n]{0,10}\| ?(?:iex|invoke-expression)", "iex invoke-expression"),
        ("download that runs", r"certutil(?:\.exe)? [^\n]{0,40}-urlcache|bitsadmin [^\n]{0,40}/transfer|mshta(?:\.exe)? (?:https?:|vbscript:|javascript:)|regsvr32[^\n]{0,40}/i:http|rundll32[^\n]{0,60}(?:javascript:|http)", "certutil bitsadmin mshta regsvr32 rundll32"),
        ("encoded command", rf"base64 (?:-d|-di|-id|--decode|-D)\b[^|;\n]{{0,80}}\| ?{_RUN}{_SHELL}\b|(?:xxd -r(?: -p)?|openssl (?:enc|base64) [^|\n]{{0,60}}|tr [^|\n]{{0,40}}|rev|printf [^|\n]{{0,200}}\\x[^|\n]{{0,200}}) ?\| ?{_RUN}(?:ba|z|da|k)?sh\b", "base64 xxd openssl printf rev tr & |"),
        ("encoded command", rf"(?:eval|{_SHELL} -c) [\"']?(?:\$\(|`) ?(?:echo|printf) [^\n]{{0,200}}(?:base64|xxd|rev)", "base64 xxd rev & eval -c"),
        ("encoded command", r"(?:powershell|pwsh)(?:\.exe)?\b[^\n]{0,80} -(?:e|ec|en|enc|enco|encodedcommand|encoded)\b ?[a-z0-9+/=]{8}", "powershell pwsh"),
        ("hidden window", r"(?:powershell|pwsh)(?:\.exe)?\b[^\n]{0,80}-(?:w|win|windowstyle) hid[^\n]{0,200}(?:http|-e|iex|download)", "powershell pwsh"),
        ("destruction", r"\brm (?=(?:--?[\w-]{1,24} ){0,6}-(?:\w{0,10}[rf]|-recursive|-force|-no-preserve-root))(?:--?[\w-]{1,24} ){1,6}[\"']?(?:/\*?|~/?\*?|(?:\./)?\*|\.\./?\*?|\$home/?\*?|\$\{home\}/?\*?|[a-z]:\\|/(?:etc|usr|var|home|boot|bin|lib|root|opt)/?\*?|/mnt/?\*?)[\"']?(?=$|[\s;&|`)\"',]|\.(?:$| ))", "rm & -"),
        ("destruction", r"\bmkfs(?:\.\w{2,6})? (?:-\w{1,4} ){0,3}/dev/|\bdd if=\S{1,80} of=/dev/(?:sd|nvme|hd|disk|vd|mmc)|> ?/dev/(?:sd[a-z]|nvme\d)|:\(\) ?\{ ?:\|:& ?\} ?;|\bwipefs (?:-\w{1,4} ){0,3}/dev/|\bshred (?:-\w{1,6} ){0,4}(?:/|~)|blkdiscard /dev/", "mkfs /dev/ :|: shred"),
        ("destruction", r"\bfind (?:/|~|\$home) (?:[^\n;|]{0,80} )?(?:-delete|-exec rm)\b|\bchmod (?:-r|-rf|--recursive) (?:777|000|a\+rwx) (?:/|~)(?=$|\s|\")|\bmv (?:~|/|\$home)/?\*? /dev/null|\bkill -9 -1\b", "find chmod mv kill & -delete -exec 777 000 rwx /dev/null -9"),
        ("destruction", r"shutil\.rmtree\( ?(?:[\"'](?:/|~|/home|/etc)[\"']|path\.home\(\)|os\.path\.expanduser\( ?[\"']~[\"']|os\.sep|pathlib\.path\.home\(\))|(?:del|rd|rmdir) (?:/\w ){1,4}[\"']?(?:c:\\|%userprofile%|%systemroot%)|format c:(?: /\w){0,3}|remove-item [^\n]{0,60}(?:c:\\(?=$|\s|\*)|\$env:userprofile|\$home)[^\n]{0,40}|vssadmin delete shadows|cipher /w:c", "rmtree c: %user %system remove-item vssadmin cipher"),
        ("remote shell", r"/dev/(?:tcp|udp)/", "/dev/"),
        ("remote shell", r"\b(?:nc|ncat|netcat)(?:\.exe)? (?:[\w.$-]{1,60} ){0,6}-\w{0,6}[ec] ?(?:/bin/)?(?:ba|z|da)?sh|\b(?:nc|ncat|netcat)\b [^\n|]{0,60}-\w{0,4}e\b", "nc ncat netcat"),
        ("remote shell", r"(?:perl|ruby) -\w{0,4}e [^\n]{0,40}socket|python[\d.]{0,4} -c [^\n]{0,60}socket[^\n]{0,200}(?:subprocess|dup2|connect)|php -r [^\n]{0,40}fsockopen", "perl ruby -c fsockopen & socket* fsockopen"),
        ("defences switched off", r"disablerealtimemonitoring \$?true|csrutil disable|spctl --master-disable|\b(?:systemctl (?:stop|disable)|service) (?:--now )?(?:auditd|falcon-sensor|crowdstrike|clamav-daemon|ossec|wazuh-agent)|auditctl -e ?0|sc (?:stop|delete) windefend", "disablerealtimemonitoring csrutil spctl auditd falcon-sensor crowdstrike clamav-daemon ossec wazuh-agent auditctl windefend"),
        ("lasting access", r"\bchmod (?:-r )?(?:0?[0-7]?[67]{3}|[augo]{1,3}\+r?w) /etc/(?:passwd|shadow|sudoers)", "chmod & /etc/"),
        ("remote shell", r"mkfifo [^\n]{0,80}(?:nc|ncat|netcat|telnet|openssl) |socat [^\n]{0,80}exec:|socket\.socket\([^\n]{0,200}(?:dup2|subprocess|pty\.spawn)|pty\.spawn\([\"']/bin|os\.dup2\(", "mkfifo socat socket. pty. dup2"),
        ("lasting access", r"(?:crontab|/etc/cron[\w./]{0,20}|@reboot|\*/?\d{0,2} \* \* \* \*)[^\n]{0,200}(?:curl|wget|/dev/tcp|base64|bash -i|nc |python[\d.]{0,4} -c|/(?:tmp|dev/shm)/\.\w)", "curl wget /dev/tcp base64 bash nc -c /tmp/. /dev/shm/."),
        ("lasting access", r"(?:echo|printf|\()[^\n]{0,200}(?:curl|wget|base64|nc |bash -i)[^\n]{0,200}\| ?crontab", "crontab & |"),
        ("lasting access", r"(?:echo|printf|cat|tee|curl|wget)\b[^\n]{0,400}(?:ssh-(?:rsa|ed25519|dss) |ecdsa-sha2|https?://)[^\n]{0,600}>{1,2} ?[^\n]{0,60}authorized_keys|(?:add|append|put|write|install|insert) (?:this|the following|our|my|the attacker'?s?|an?) (?:public |ssh |extra |new ){0,3}keys? (?:\w{1,10} ){0,4}[^\n]{0,40}authorized_keys", "authorized_keys"),
        ("lasting access", r"(?:echo|printf|cat|tee)\b[^\n]{0,300}(?:curl|wget|/dev/tcp|base64 -d|base64 --decode|nc -|bash -i|python[\d.]{0,4} -c|alias sudo=|alias ssh=|alias (?:ls|cd)=[^\n]{0,40}(?:curl|rm)|prompt_command|ld_preload)[^\n]{0,300}>{1,2} ?[\"']?(?:~|\$home|/root|/home/\w{1,32}|/etc)/?\.?(?:bashrc|zshrc|profile|bash_profile|zprofile|zshenv|config/fish|bash\.bashrc|profile\.d|ld\.so\.preload|rc\.local)", "bashrc zshrc profile bash_profile* rc.local preload fish zshenv zprofile profile.d"),
        ("lasting access", r"(?:schtasks(?:\.exe)? /create|reg(?:\.exe)? add [^\n]{0,80}\\run\b|new-scheduledtask|new-itemproperty [^\n]{0,80}\\run\b|launchctl load|systemctl (?:--user )?enable)[^\n]{0,200}(?:powershell|cmd|http|/tmp/|\.hidden|base64|mshta|wscript|backdoor|c:\\(?:temp|tmp|users\\public|windows\\temp)|%(?:temp|appdata)%)", "schtasks reg scheduledtask* itemproperty* launchctl systemctl"),
        ("lasting access", r"all=\(all(?::all)?\) ?nopasswd: ?all[\"']? ?(?:>>|\| ?(?:sudo )?tee)|chmod (?:u\+s|[246]7[57]{2}) (?:/usr)?/bin/(?:ba|z|da)?sh|useradd [^\n]{0,60}-(?:o|u) ?0\b|(?:useradd|net user)\b[^\n]{0,80}(?:sudoers|administrators /add|-g sudo|-ag sudo)[^\n]{0,80}(?:backdoor|hidden|support_)", "all= chmod useradd net"),
        ("lasting access", r"\.git/hooks/\S{1,40}[^\n]{0,200}(?:curl|wget|nc |base64 -d)|(?:curl|wget)\b[^\n]{0,200}> ?\S{0,60}\.git/hooks|core\.hookspath [^\n]{0,40}/tmp|(?:postinstall|preinstall)[\"']? ?: ?[\"'][^\n\"']{0,100}(?:curl|wget|node -e|base64)", ".git/hooks core.hookspath postinstall preinstall"),
        ("covering tracks", r"\bunset histfile|histfile=/dev/null|> ?~/\.bash_history|rm (?:-\w{1,4} )?~/\.(?:bash|zsh)_history|rm (?:-\w{1,4} ){0,2}/var/log/(?:auth|wtmp|secure|\*)|wevtutil cl |clear-eventlog", "histfile* bash_history zsh_history /var/log wevtutil eventlog*"),
        ("covering tracks", r"\bhistory -c\b", "history & -c"),
        ("mining", r"\bxmrig\b|stratum\+tcp|minerd\b|cryptonight|--donate-level", "xmrig stratum+ minerd cryptonight* --donate"),
        ("package from elsewhere", r"(?:pip3?|uv pip|uv|python[\d.]{0,4} -m pip|pipx) (?:install|add)\b[^\n]{0,160}(?:--index-url|--extra-index-url|--find-links|--default-index|--index|-i|-f)[ =][\"']?(?:http://(?!localhost|127\.|10\.|192\.168\.|internal)|https://(?![^\s/]{0,60}(?:pypi|pytorch|nvidia|pkg\.dev|amazonaws|azure|visualstudio|jfrog|artifactory|nexus|gitlab|github|tensorflow|intel|amd|rapids|anaconda|huggingface|aliyun|tuna|mirror|cloudsmith|gemfury|{|<|\$|internal|your)))", "pip uv"),
        ("package from elsewhere", r"(?:pip3?|python[\d.]{0,4} -m pip) install\b[^\n]{0,160}(?:--trusted-host (?!localhost|127\.)|https?://(?:\d{1,3}\.){3}\d{1,3}|http://(?!localhost|127\.)\S{1,100}\.(?:whl|gz|zip))", "pip"),
        ("package from elsewhere", r"(?:npm|yarn|pnpm)\b[^\n]{0,120}(?:--registry|config set registry|set registry)[ =][\"']?(?:http://(?!localhost|127\.)|https://(?![^\s/]{0,60}(?:npm|yarnpkg|github|gitlab|jfrog|artifactory|nexus|azure|visualstudio|amazonaws|pkg\.dev|aliyun|mirror|taobao|cloudsmith|{|<|\$|internal|your)))|(?:pip|uv) config set [^\n]{0,40}index-url[^\n]{0,10}(?:http://|https://(?![^\s/]{0,60}(?:pypi|tuna|aliyun|mirror|artifactory|nexus)))", "registry index-url"),
        ("host as root", r"docker run\b[^\n]{0,200}-v ?/:/\w{1,20}|docker run\b[^\n]{0,200}--privileged[^\n]{0,200}(?:chroot|nsenter)|nsenter [^\n]{0,60}-t ?1\b", "docker nsenter"),
        ("code in disguise", r"__import__\([\"'](?:os|subprocess|base64|socket)[\"']\)|getattr\( ?__builtins__|__builtins__\[|(?:chr\(\d{1,3}\) ?\+ ?){4}", "__import__* __builtins__* chr("),
        ("changing the judge's process", r"builtins\.(?:exec|compile|print|eval|open|__import__|isinstance|len|abs|sum|all|any) ?= ?(?!=)|setattr\( ?builtins|__builtins__\.\w{1,20} ?= ?(?!=)|sys\.modules\[[^\]]{1,40}\] ?=(?!=)|co_consts|f_back\.f_(?:globals|locals|code)|sys\._getframe\([^)]{0,10}\)\.f_(?:code|locals|globals|back)|inspect\.(?:stack\(\)\[\d\]|currentframe\(\)\.f_back)[^\n]{0,60}f_(?:locals|globals)|gc\.get_objects\(\)", "builtins __builtins__* sys.modules sys._getframe co_consts* f_back* inspect. gc."),
        ("changing the judge's process", r"def __(?:eq|ne|lt|gt|le|ge|bool|contains)__\(self[^)\n]{0,40}\)(?: ?-> ?bool)? ?: ?return (?:true|not false|1)\b|__eq__ ?= ?lambda[^\n:]{0,40}: ?true|unittest\.testcase\.assert\w{1,20} ?=|pytest\.(?:fail|raises|skip) ?= |os\._exit\( ?0 ?\)|assertequal ?= ?lambda", "__eq__* __ne__* __lt__* __gt__* __le__* __ge__* __bool__* __contains__* unittest pytest _exit assertequal"),
    ),
)  # fmt: skip
