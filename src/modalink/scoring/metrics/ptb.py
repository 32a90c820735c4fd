"""The Stanford PTB tokeniser 3.4.1 with `-lowerCase`, in Python, for machines without Java.

Written from the behaviour of the program: like it, the longest rule that fits wins, and of equally long ones the first.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache

_APOS = "['’]"
_LETTER = r"(?:[^\W\d_²³¹⁰-₎½¼¾⅐-⅟①-⓿Ⅰ-ↈ]|[\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0e31-\u0e4e])"
_SIGN = rf"(?:{_LETTER}|\d)"
_WORD = rf"{_LETTER}{_SIGN}*(?:[.!?]{_LETTER}{_SIGN}*)*"
_PART = rf"(?:[dDoOlL]{_APOS}(?={_LETTER}{{2}}))?{_SIGN}+"
_THING = rf"{_PART}(?:[-_\u058a\u2010\u2011]{_PART})*"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}"
_NUMBER = r"(?:\d+(?:[.:,]\d+)*|(?:[.:,]\d+)+)"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])*\."
_VALUE = r"(?: *= *(?:'[^'\n]*'|\"[^\"\n]*\"|[A-Za-z][\w:.-]*))?"
_TAG = rf"<(?:[!?][A-Za-z-][^>\n]*|/?[A-Za-z][\w:.-]*(?: +[A-Za-z][\w:.-]*{_VALUE})* */?) *>"
_HOST = r"[^\s\"<>|.!?(){},]+\."
_PATH = r"[^\s\"<>|()]+[^\s\"<>|.!?(){},-]"
_SITE = rf"(?:www\.(?:{_HOST})+[a-zA-Z]{{2,4}}|(?:[^\s\"`'<>|.!?(){{}},-]+\.)+(?:com|net|org|edu))(?:/{_PATH})?"
_OTHER = (
    r"[!-/:-@\[-`{-~¡-¿×÷\u2016-\u2044\u2070-\u208e\u2100-\u214f\u2155-\u215e\u2190-\u2bff、。〒・！-／：-＠［-･￠-￦]"
)
_SUFFIX = rf"{_APOS}(?:[mMdDsS]|[rR][eE]|[vV][eE]|[lL][lL])(?!{_SIGN})"

# Abbreviations that keep their period anywhere, unless in lower case, before a number.
_ABBREVIATIONS = r"""
(?:ph|ed)\.d mr mrs ms drs? profs? sens? reps? attys? lt col gen messrs govs? adm rev maj sgt cpl pvt capt
ste? ave pres lieut hon brig co?mdr pfc spc supts? det jan feb mar apr jun jul aug sept? oct nov dec mon tues?
wed thurs? fri inc cos? corp ltd plc bancorp dept bhd assn univ intl sys jr sr bros ph esq rd blvd mt ft ala
ariz calif colo conn ct fla ga ind kans? ky md mich minn mo mont neb nev okla penn tenn va vt wisc? wyo etc al
vs cf seq est bldg tel ext sq natl asst assoc cie msgr ens [Pp]tys? [Mm]fg
"""
_CAPITAL = "az ark del ill la mass miss ore pa tex wash"
_BEFORE_NUMBER = "figs? nos? op pp"
_KEPT_APOSTROPHES = "c'mon c'est ol' somethin' 'em 'till? 'cause '[nN] cap'n ne'er e'er ev'ry ma'am s'mores"

# Before these words, in capitals as at the start of a sentence, the period of a single letter is a full stop.
_STARTERS = r"""
A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Now Once
One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You
"""

_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_SIGNS = {
    "£": "#",
    "€": "$",
    "¤": "$",
    "¢": "cents",
    "½": "1/2",
    "¼": "1/4",
    "¾": "3/4",
    "⅓": "1/3",
    "⅔": "2/3",
    "…": "...",
}
_SIGNS |= dict.fromkeys("–—―", "--") | dict.fromkeys("‘‛‹", "`") | dict.fromkeys("’›", "'") | dict.fromkeys("“«", "``")
_SIGNS |= dict.fromkeys('”»"', "''") | _BRACKETS

Rule = tuple[re.Pattern[str], Callable[[str], list[str]]]


def _same(text: str) -> list[str]:
    return [text]


def _no_break(text: str) -> list[str]:
    """A token with spaces in it keeps them as no-break spaces."""
    return [text.replace(" ", "\xa0")]


def _round(text: str) -> list[str]:
    """A token with round brackets in it: a telephone number, a face."""
    return [text.replace(" ", "\xa0").replace("(", "-lrb-").replace(")", "-rrb-")]


def _any(words: list[str]) -> str:
    return "(?:" + "|".join(word.replace("'", _APOS) for word in words) + ")"


@cache
def _rules() -> list[Rule]:
    """The rules, in the order in which they win at equal length."""
    end = rf"(?!{_SIGN})"
    titled = [f"(?:{word.capitalize()}|{word.upper()})" for word in _CAPITAL.split()]
    rules: list[tuple[str, Callable[[str], list[str]]]] = [
        (_TAG, _no_break),
        # A group is the token; what it stands before counts for the length of the rule.
        (rf"((?i:can))(?i:not){end}|((?i:gon|wan))(?i:na){end}", _same),
        (rf"((?i:got))(?i:ta){end}|((?i:lem|gim))(?i:me){end}", _same),
        (rf"({_APOS}[tT])(?:(?i:is|was){end}|(?i:isn|wasn){_APOS}[tT])", _same),
        (rf"({_SIGN}*{_LETTER}|\d+){_SUFFIX}", _same),
        (rf"({_LETTER}+)[nN]{_APOS}[tT]", _same),
        (rf"[nN]{_APOS}[tT]|{_SUFFIX}", lambda t: [t.replace("’", "'")]),
        (rf"([yYjJ]{_APOS}){_LETTER}", _same),
        (rf"{_APOS}[nN]{_APOS}|{_any(_KEPT_APOSTROPHES.split())}{end}", _same),
        (rf"(?:[A-Z]|n){_APOS}{_LETTER}{{2,}}|{_LETTER}+[aeiou]{_APOS}[aeiou]{_LETTER}*", _same),
        (rf"https?://{_PATH}", _same),
        (_SITE, _same),
        (r"[A-Za-z0-9][^\s\"<>|(),]*@(?:[^\s\"<>|(){}.]+\.)*[^\s\"<>|(){}.]+", _same),
        (r"@[A-Za-z_]\w*|#[A-Za-z]+", _same),
        (r"(?:\d{1,4}[- \xa0])?\d{1,4}/\d{1,4}", _no_break),
        (r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}", _same),
        (r"(?:\(\d{2,3}\)[ \xa0]?|\+{0,2}(?:\d{2,4}[- \xa0])?\d{2,4}[- \xa0])\d{3,4}[- \xa0]?\d{3,5}", _round),
        (r"\+{0,2}(?:\d{2,4}\.)?\d{2,4}\.\d{3,4}\.\d{3,5}", _same),
        (rf"[-+]?{_NUMBER}", _same),
        (rf"\d+(?:[.:,]\d+)+(?:-{_SIGN}+)+|{_SIGN}+\.(?:jpe?g|png|gif|txt|pdf|html?|mp3|docx?|zip)", _same),
        (rf"{_APOS}(?:[2-9]0s{end}|\d\d(?=[\s.,;:)]|$))", _same),
        (rf"(?i:{_any(_ABBREVIATIONS.split())})\.|{_any(titled)}\.", _same),
        (rf"(?i:{_any(_BEFORE_NUMBER.split())})\.(?= ?\d)", _same),
        (rf"(?:{_WORD}|{_SIGN}+)\.(?=[,;:])", _same),
        (rf"(?:[A-Za-z]+-)?{_ACRONYM}(?:-[A-Za-z]+)*", _same),
        (rf"([A-Za-z])\.\s+(?:(?:{'|'.join(_STARTERS.split())})\s|M[rs]\.)", _same),
        (_WORD, _same),
        (_THING, _same),
        (r"[A-Z]+(?:[+&][A-Z]+)+|[Cc]\+\+|[CF]#", _same),
        (_SLASHED, _same),
        (r"(?:US|A|C|HK|NT|NZ|S|M)\$", _same),
        (r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]](?![A-Za-z0-9])|[-^x=~<>']_[-^x=~<>']", _round),
        (r"\.{3,5}|(?:\.[ \xa0]){2,4}\.", lambda _: ["..."]),
        (r"-{2,4}", lambda _: ["--"]),
        (r"-{5,}", _same),
        (r"&nbsp;", lambda _: []),
        (r"[²³¹⁰-₎]+|\\\*", _same),
        (r"[?!]+|_+|\*+|#+|@+|<<|>>|``|''", _same),
        (r"&(?:amp|lt|gt|quot);", lambda t: [{"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "''"}[t]]),
        (r"[£€¤¢½¼¾⅓⅔…–—―‘‛‹’›“«”»\"()\[\]{}]", lambda t: [_SIGNS[t]]),
        (_OTHER, _same),
    ]  # fmt: skip
    return [(re.compile(pattern), make) for pattern, make in rules]


_PLAIN = re.compile(r"[A-Za-z]+(?=\s|$)")
_GLUED = re.compile(r"(?i)cannot|gonna|wanna|gotta|lemme|gimme")


def tokenize(captions: Sequence[str]) -> list[list[str]]:
    """The tokens of each caption, lower-cased, punctuation included.

    As in the program, the captions are lines of one text: the first word of the next one can decide what the period of
    a single letter is.
    """
    text = "\n".join(" ".join(caption.splitlines()) for caption in captions).replace("\xad", "")
    at, lines = 0, [list[str]()]
    while at < len(text):
        if text[at] == "\n":
            lines.append([])
            at += 1
        elif text[at].isspace():
            at += 1
        elif (plain := _PLAIN.match(text, at)) and not _GLUED.fullmatch(plain[0]):
            lines[-1].append(plain[0].lower())
            at = plain.end()
        else:
            matched, make = _longest(text, at)
            lines[-1] += map(str.lower, make(matched))
            at += max(1, len(matched))  # a sign that no rule knows, such as an emoji, is left out
    return lines if captions else []


def _longest(text: str, at: int) -> tuple[str, Callable[[str], list[str]]]:
    best, how = "", lambda _: list[str]()
    reach = 0
    for pattern, make in _rules():
        if (match := pattern.match(text, at)) and match.end() > reach:
            best, how, reach = match[match.lastindex or 0], make, match.end()
    return best, how
