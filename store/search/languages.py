"""Languages, as far as search must know them: which group a text belongs to, and the small words that say nothing of its matter."""

import re

ENGLISH = frozenset(
    ["a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "could", "do", "does", "for", "from", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my", "of", "on", "or", "our", "please", "should", "so", "that", "the", "their", "them", "then", "there", "these", "they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "who", "will", "with", "would", "you", "your"]
)  # fmt: skip

_ALSO_ENGLISH = frozenset(["did", "every", "he", "her", "his", "not", "she", "out", "why"])

# German, French, Spanish, Italian, Portuguese, Dutch, Polish, Swedish, Danish, Norwegian, Turkish.
_LATIN = frozenset(
    ["der", "das", "und", "ist", "wie", "wer", "den", "dem", "ein", "eine", "einen", "einer", "einem", "welche", "welcher", "welches", "warum", "wann", "wo", "ich", "nicht", "mit", "für", "auf", "von", "zu", "im", "kann", "sich", "sind", "gegen", "beim", "vom", "zum", "zur", "mir", "wir", "sie", "le", "la", "les", "un", "une", "est", "et", "que", "qui", "quoi", "quel", "quelle", "comment", "pourquoi", "où", "du", "au", "aux", "dans", "pour", "avec", "sur", "ne", "pas", "je", "vous", "ce", "il", "elle", "el", "los", "las", "unos", "es", "y", "qué", "quién", "cómo", "por", "para", "con", "del", "al", "en", "mi", "cuál", "cuándo", "dónde", "lo", "gli", "che", "chi", "come", "perché", "della", "dei", "si", "sono", "quale", "quando", "dove", "o", "os", "um", "uma", "e", "quem", "como", "da", "dos", "em", "qual", "onde", "não", "de", "het", "een", "hoe", "waarom", "ik", "niet", "met", "voor", "op", "van", "zijn", "welke", "wanneer", "waar", "jak", "kto", "czy", "jest", "w", "na", "z", "nie", "się", "ile", "kiedy", "gdzie", "jaki", "och", "är", "hur", "vem", "vad", "inte", "på", "ett", "att", "jag", "det", "som", "när", "ve", "bir", "nasıl", "kim", "bu", "için", "neden", "hangi", "kaç", "nerede", "die", "was", "in", "an", "am", "so", "hat", "war", "man", "bin", "wird", "werden", "über", "soll", "sollen", "welchen", "welchem", "des", "oder", "aber", "auch", "noch", "nur", "er", "ihr", "uns", "mein", "meine", "meinem", "meiner", "habe", "haben", "hatte", "wurde", "sehr", "mehr", "viel", "viele", "bei", "nach", "aus", "als", "gibt", "this", "me", "no", "non", "nel", "nella", "alla", "di", "a", "i", "to", "ou", "on", "par", "plus", "leur", "son", "sa", "ses", "mon", "ma", "mes", "cette", "ces", "sont", "fait", "su", "sus", "se", "más", "pero", "muy", "mas", "mais", "seu", "sua", "hij", "zij", "wij", "dat", "ook", "te", "aan", "om", "bij", "uit", "tot", "heb", "heeft", "do", "mam", "po", "od", "za", "av", "till", "har", "var", "gibi"]
)  # fmt: skip

_CYRILLIC = frozenset(
    ["и", "в", "во", "не", "что", "он", "на", "я", "с", "со", "как", "а", "то", "все", "она", "так", "его", "но", "да", "ты", "к", "у", "же", "вы", "за", "бы", "по", "её", "ее", "мне", "было", "вот", "от", "меня", "ещё", "еще", "нет", "о", "из", "ему", "когда", "даже", "ну", "ли", "если", "уже", "или", "ни", "быть", "был", "него", "до", "вас", "вам", "там", "потом", "себя", "ей", "может", "они", "тут", "где", "есть", "надо", "для", "мы", "их", "чем", "была", "сам", "без", "будто", "кто", "который", "какой", "какая", "какое", "какие", "каких", "сколько", "почему", "откуда", "это", "этот", "эта", "эти", "при", "под", "об", "нам", "наш", "свой", "можно", "нужно", "нужна", "нужен", "тот", "та", "те", "как-то", "чтобы", "между", "после", "перед", "через", "про", "больше", "всего", "лучше"]
)  # fmt: skip

_ARABIC = frozenset(
    ["في", "من", "على", "إلى", "ما", "هل", "كيف", "كم", "هو", "هي", "أي", "أن", "لا", "و", "عن", "مع", "هذا", "هذه", "التي", "الذي", "متى", "أين", "لماذا", "ماذا", "يا", "كان", "لي", "إن", "قد", "ثم", "أو", "بل", "لم", "لن", "عند", "غير", "كل", "بعد", "قبل", "بين", "حتى", "إذا", "هناك", "ذلك", "تلك", "نحن", "أنا", "أنت", "هم", "به", "له", "لها", "فيه", "فيها"]
)  # fmt: skip

_DEVANAGARI = frozenset(
    ["है", "हैं", "का", "की", "के", "को", "में", "से", "पर", "और", "या", "यह", "वह", "ये", "वे", "क्या", "कैसे", "कौन", "कहाँ", "कब", "क्यों", "कितने", "कितनी", "नहीं", "हो", "था", "थे", "थी", "एक", "ने", "भी", "तो", "ही", "कर", "करें", "करना", "लिए"]
)  # fmt: skip

SMALL_WORDS = {
    None: ENGLISH,
    "latin": ENGLISH | _LATIN,
    "cyrillic": _CYRILLIC,
    "arabic": _ARABIC,
    "devanagari": _DEVANAGARI,
}
"""Words that do not count, by group of languages."""

_SCRIPTS = {
    "kana": re.compile(r"[\u3040-\u30ff]"),
    "han": re.compile(r"[\u3400-\u9fff\uf900-\ufaff]"),
    "hangul": re.compile(r"[\uac00-\ud7af]"),
    "cyrillic": re.compile(r"[\u0400-\u052f]"),
    "arabic": re.compile(r"[\u0600-\u06ff]"),
    "devanagari": re.compile(r"[\u0900-\u097f]"),
}
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
_ONLY_LATIN = _LATIN - ENGLISH - _ALSO_ENGLISH - {"die", "war", "man", "bin", "hat", "also"}
"""Words that tell another language from English: none that English has too."""


_ONLY_ENGLISH = (ENGLISH | _ALSO_ENGLISH) - _LATIN


def language_group(text: str) -> str | None:
    """Returns the group of languages that a text is written in, by its script and its small words; None for English.

    A group is `latin` (any language but English in that script), the name of another script, or `other`.
    """
    if not text.isascii():
        letters = _LETTER.findall(text)
        if 2 * sum(letter < "\u0250" for letter in letters) < len(letters):
            return _script(text)
    words = [word.lower() for word in _WORD.findall(text)]
    english = sum(word in _ONLY_ENGLISH for word in words)
    foreign = sum(word in _ONLY_LATIN or not word.isascii() for word in words)
    return "latin" if foreign > english and 8 * foreign >= len(words) else None


def _script(text: str) -> str:
    counts = {name: len(script.findall(text)) for name, script in _SCRIPTS.items()}
    if 5 * counts["kana"] >= counts["han"] > 0 or counts["kana"] > counts["han"]:
        return "kana"  # Japanese is written in Han too
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "other"
