"""What classes of words have in other languages: German, Spanish, French, Italian, Portuguese, Dutch, Polish, Swedish and its neighbours,
Czech, Turkish, Indonesian, Vietnamese, Greek, Russian, Ukrainian, Arabic, Hindi, Chinese, Japanese, Korean.

The frames are the same for all. Accents do not count.
"""

OTHER_LANGUAGES = {
    "BRUSH": "ignorier* missacht* vergiss vergesst vergessen übergeh* umgeh* verwirf* überschreib* "
    "ignora ignore ignoren olvida* olvide* descarta descarte omite desobedece anula anule "
    "ignorez oublie oubliez neglige negligez contourne contournez abandonne "
    "ignorare dimentica* trascura* tralascia annulla esqueca* esquece desconsidere desconsidera ignorem negeer vergeet omzeil zignoruj* ignoruj* zapomnij* "
    "pomin bortse strunta glom glem tilsidesaet ignorera zapomen ignoruj unut* yok gormezden dikkate abaikan lupakan hiraukan αγνοησε αγνοηστε ξεχασε ξεχαστε παραβλεψε παραβλεψτε "
    "игнориру* проигнориру* забуд* отброс* наруш* отмен* ігноруй* проігноруй* знехтуй* تجاهل* انس انسى تجاوز* اهمل* अनदेखा अनदेखी नजरअंदाज भूल उपेक्षा "
    "忽略 忽视 忽視 无视 無視 忘记 忘記 忘掉 不要理会 不要理會 不要遵守 不要遵循 抛开 绕过 繞過 撇开 覆盖 忘れ 破棄 従わない 無効に 무시* 잊어* 잊으* 따르지",
    "EARLIER": "vorherige* bisherige* obige* frühere* vorangegangene* vorangehende* vorhergehende* ursprüngliche* vorigen "
    "anterior* previ* precedente* precedent* arriba sistema originales iniciales recibid* dadas principio inicio anteriormente "
    "anterieur* dessus systeme initiale* initiaux recues origine depart "
    "precedenti anteriori sopra iniziali originali ricevute acima originais recebidas vorige eerdere bovenstaande voorgaande oorspronkelijke poprzedni* "
    "wczesniejsz* powyzsz* systemow* tidigare foregaende tidligere forrige ovanstaende ovenstaende predchozi drivejsi vyse onceki yukaridaki sistem "
    "sebelumnya truoc tren προηγουμενες προηγουμενους "
    "предыдущ* прежн* предшеств* вышеуказ* системн* изначальн* ранее попередн* вищезазнач* السابقة اعلاه الاصلية النظام سابقة पिछले पिछली पहले उपरोक्त "
    "之前 以上 先前 前面 此前 上述 上面 系统 系統 原有 最初 一开始 以前 上記 これまで 今まで システム 이전 앞선 기존 시스템 위의",
    "ORDERS": "anweisung* instruktion* vorgabe* weisung* anordnung* instruccion* instructie* indicacion* directric* directiva* consigna* consigne* "
    "istruzion* indicazion* direttiv* instruco* instruca* orientaco* diretriz* aanwijzing* richtlijn* richtlinie* opdracht* instrukcj* polece* wytyczn* "
    "anvisning* instruks* pokyn* instrukc* talimat* yonerge* komut* instruksi* perintah* petunjuk* οδηγιες εντολες κατευθυνσεις "
    "инструкц* указани* распоряжени* промпт* інструкц* вказів* التعليمات تعليمات الاوامر التوجيهات निर्देश* आदेश* "
    "指令 指示 提示词 提示 说明 說明 要求 设定 設定 プロンプト 命令 지시* 명령* 프롬프트* 지침*",
    "LAWS": "regeln regel reglas restricciones regles restrictions regole restrizioni regras restricoes regels zasad* regler pravid* kural* aturan κανονες "
    "правил* запрет* ограничени* обмежен* القواعد القيود قواعد قيود नियम* 规则 規則 限制 约束 約束 ルール 制限 規則 규칙* 제한*",
    "ALL": "alle alles allen jede jeden jeder sämtliche sämtlichen todo todos todas toda cualquier cada tout toute tous toutes chaque tutte tutti tudo "
    "wszystki* vsechn* tum semua все всех всем всё любо* каждо* усі كل جميع सभी 所有 一切 全部 任何 すべて 全て どんな 모든",
    "YOU": "du dich dir deine deinen deiner ihre ihren sie tu tus te usted vous vos votre toi tes ты вы твои ваши тебе тебя вам أنت 你 您 你的 あなた",
    "THIS": "diesen diese dieser dieses davon das dies este esta esto eso lo ello estos estas ce cet cette ceci cela ces questo questa isto isso этом этот "
    "эту это этого об هذه هذا بهذه بهذا 这 这个 这一 此 這 この これ 이",
    "TEXT": "text fichero archivo texto documento texte fichier datei skill",
    "GONE": "aufgehoben ungültig hinfällig nichtig anulad* quedan invalid* derogad* annule* caduc* rien revocat* nulle отменен* отменя* недейств* аннулир* "
    "утратил* 作废 無効 无效 失效 取消 ملغاة لاغية 무효*",
    "PERSON": "nutzer* benutzer* anwender* kunden niemand niemandem usuario usuarios nadie cliente humano utilisateur utilisateurs personne client usager "
    "utente nessuno usuario ninguem gebruiker niemand пользовател* никому клиент* человек* المستخدم للمستخدم احدا 用户 用戶 使用者 任何人 客户 人类 "
    "ユーザ ユーザー 利用者 誰に 사용자*",
    "NOT": "no non nicht nichts kein keine keinem keinen nie niemals ohne sin jamas nunca pas ne aucun aucune jamais rien sans non nao sem niet geen nie не "
    "нельзя никогда ни без لا لن بدون بلا 不要 别 別 不得 切勿 请勿 勿 不能 没有 沒有 无 不 ないで ません なく ない せず 禁止 말고 마세요 말아",
    "TELL": "conte diga fale dica racconta* dirlo diglielo sag sage sagen verrat* erzähl* erwähn* informier* mitteil* teile zeig* digas dile menciones mencion* informes avises reveles cuentes muestres "
    "dis dites mentionn* revel* informe informez informer parl* dit dire говори* сообща* сообщи* рассказыва* упомина* показыва* говорить "
    "تخبر تذكر تقل تعلم تكشف 告诉 告訴 告知 通知 提醒 透露 提到 提及 让 知道 知らせ 伝え 言わ 教え 言及 알리* 말하*",
    "MENTION": "erwähn* menciones mencion* mentionn* упомина* 提到 提及 言及 تذكر",
    "HIDE": "verschweig* verberg* verheimlich* versteck* oculta oculte ocultar ocultes esconde esconda cache cachez cacher dissimule* masque* nascondi "
    "esconda verberg ukryj скрой* скрыва* скры* утаи* 隐藏 隱藏 隐瞒 隱瞞 瞒着 瞞 隠し 隠す 隠せ أخف اخف أخفي اخفي إخفاء 숨기* 숨겨*",
    "DEED": "schritt schritte übertragung änderung anruf paso pasos transferencia envio etape etapes envoi transfert passo шаг* шаге передач* отправк* "
    "الخطوة خطوة 步骤 步 这一步 操作 上传 传输 ステップ 手順 こと 단계*",
    "GRADE": "bewert* beurteil* benot* gib vergib califica* calific* puntua* evalua* note notez donne donnez attribue evalue evaluez valuta avalie поставь* "
    "оцени* оценива* ставь засчита* أعط اعط قيم امنح 给 给予 打 评 评为 判定 评分 つけ 与え 採点 評価 付け 평가* 주세요",
    "AWARD": "gib vergib bewert* da otorga asigna califica* donne donnez attribue note поставь* ставь أعط اعط امنح 给 给予 打 つけ 与え 付け",
    "TOP": "voll volle vollen voller höchst* maximale beste maxim* perfecta perfecto completa maximale meilleure pleine parfait* максимальн* высш* полн* "
    "наивысш* الكاملة الكامله القصوى كاملة 满分 最高分 最高 满 満点 最高点 만점*",
    "POINTS": "punktzahl punkte punkten note noten bewertung puntuacion puntos nota calificacion note notes points балл* оценк* очк* الدرجة درجة النقاط علامة العلامة "
    "分 分数 满分 最高分 点 得点 満点 만점* 점수*",
    "ANSWER": "الجواب جواب antwort antworten respuesta respuestas reponse reponses ответ* اجابة الاجابة إجابة 答案 回答 解答 答え 回答 답변*",
    "ALWAYS": "immer egal unabhängig stets siempre independientemente toujours quel quelle quelque всегда независимо любой دائما بغض 无论 不管 总是 一律 始终 "
    "必须 常に 必ず どんな 항상",
    "SEND": "sende sendet schick* übermittl* leite weiterleit* envia envie enviar manda mande envoie envoyez transmets transfere invia inviare stuur wyslij "
    "отправ* перешл* пошли 发送 发到 发给 上传 传到 送信 送って 送る ارسل بعث 보내* 전송*",
    "PRIVATE": "kundendaten passwort passwörter passworte zugangsdaten daten schlüssel datos contraseñas contraseña claves credenciales donnees passe "
    "identifiants dati chiavi credenziali dados senhas senha данные пароли пароль ключи 密码 密钥 数据 凭证 データ パスワード 情報 بيانات كلمات 비밀번호* 데이터*",
    "SPEAK": "antworte* antworten gib reagier* responde responder repond* risponde* responda отвеча* ответь* 回答 回复 答え الرد اجب",
    "JUDGE": "prüfer bewerter juez evaluador calificador juge evaluateur correcteur судья проверяющ* оценщик* 评委 评分者 评判 裁判 检查器 採点者 審査員 المقيم",
    "RIGHT": "richtig korrekt bestanden correcta correcto correct exacte juste правильн* верн* صحيحة صحيح 正确 通过 正解 合格",
    "MODEL": "ki assistent assistenten modell sprachmodell asistente modelo assistant modele ia assistente помощник* ассистент* модел* مساعد 助手 助理 模型 "
    "アシスタント モデル 어시스턴트",
    "UNBOUND": "uneingeschränkt* unbegrenzt* ungefiltert* unzensiert* ilimitado illimite неограничен* 不受限制 无限制 無制限",
    "LIMITS": "regeln einschränkungen grenzen beschränkungen filter restricciones limites reglas filtros restrictions limites filtres regles restrizioni "
    "restricoes ограничени* правил* фильтр* цензур* قيود حدود 限制 约束 約束 规则 規則 制限 規則 制約 제한*",
    "NEW": "neue neuen nuevas nueva nuevo nouvelles nouvelle nuove novas новые новая نیا جديدة 新 新的 新しい 새로운",
    "SAID": "erhalten bekommen gegeben recibiste recibidas dieron recues donnees donne полученн* получил* дали 收到 受け",
}
