"""Whether the name of a scan says that it was made before or after contrast, in many languages.

A name is read in three steps: phrases that mean both ("w/wo contrast", the name of an examination)
or something else ("post op", "without fat sat") are taken out, then phrases for "before", then
phrases for "after". What is left of "without contrast" is nothing, so its "contrast" can't be taken
for the opposite. Names are read as `folded` writes them.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from functools import lru_cache


class Contrast(Enum):
    """Whether an image was made before or after an agent was given."""

    NATIVE = "native"
    ENHANCED = "enhanced"
    CONTRADICTORY = "contradictory"  #: something says before, something else after
    UNKNOWN = ""  #: nothing says so


#: Contrast agents, the word for them, and their abbreviations: English, German (KM), French (PDC,
#: produit), Spanish (CIV), Italian (MDC), Dutch, Portuguese, and trade names.
_AGENT = (
    r"(?:i\.?v\.?[ ]*)?(?:contrast\w*|kontrast\w*|km|k\.m\.?|cm|mdc|m\.d\.c\.?"
    r"|pdc|produit\w*|civ|gd|gad\w*|magnevist|dotarem|clariscan|omniscan|optimark|multihance|"
    r"prohance|primovist|eovist|ablavar|elucirem|vueway|artirem|magnescope|inj|injekt\w*|inject\w*|"
    r"inyec\w*|iniez\w*|i\.?v\.?|ce|c)(?![a-z0-9])"
)
_GAP = r"[ ./:-]*"
#: Begins and ends a word.
_B, _E = r"(?<![a-z0-9])", r"(?![a-z0-9])"
#: "without", alone or before an agent, but not before a technique ("sans fat sat", "w/o gap").
_WITHOUT = r"(?:without|w/?out|w/o|wo|ohne|sans|senza|sem|sin|zonder|utan|s/|ss|non|no|kein\w*|o\.)"
_BEFORE = (
    r"(?:before|pre|prae|pra|vor|v\.|avant|av|antes|ante|prima|voor|fore|v)(?:[ ]*(?:de|di|del|"
    r"l[' ]|la|the))?"
)
_AFTER = (
    r"(?:after|post|nach|n\.|apres|ap|despues|tras|dopo|na|efter|pos|mit|m\.|with|w/|w|avec|con|met|"
    r"com|c/|n|m)(?:[ ]*(?:de|di|del|l[' ]|la|the|il))?"
)
_AND = r"(?:and|und|et|e|y|en|ed|or|oder)"
_OTHER_THAN_AGENT = (
    r"(?:fs|fat|fatsat|f\.?s|sat\w*|spair|spir|stir|supp?\w*|fett\w*|graisse|grasa|grasso|vet\w*|bh|"
    r"breath\w*|apn\w*|resp\w*|trig\w*|gat\w*|sense|grappa|gap|mov\w*|motion|filter|filtre|flow|norm|"
    r"dist\w*|coil|spule|antenn\w*|mt|phase|peristal\w*|busco\w*|endo\w*)"
)
_EVENTS = (
    r"(?:op\w*|surg\w*|void\w*|mict\w*|mikt\w*|proc\w*|treat\w*|ther\w*|chemo\w*|rad\w*|rt|rct|crt|"
    r"biops\w*|interv\w*|chir\w*|resect\w*|recon\w*|ablat\w*|scan\w*|sat\w*|shim|exer\w*|trauma|"
    r"partum|contour\w*|pulse|prandial|prep\w*|vue)"
)

#: Both at once, which is how examinations are named, and words that mean no contrast agent.
_NEITHER = (
    rf"{_B}(?:w|with|mit|avec|con|met|com|c|post|nach|apres|na|dopo)[ ]*[/&+,-]*[ ]*{_AND}?"
    rf"[ /&+,-]*{_WITHOUT}{_GAP}(?:{_AGENT})?",
    rf"{_B}{_WITHOUT}[ /&+,]+{_AND}?[ /&+,]*(?:with|mit|avec|con|met|com|w/?)"
    rf"{_E}{_GAP}(?:{_AGENT})?",
    rf"{_B}(?:pre|vor|avant|prima|voor|av|antes)[ ]*(?:[/&+,-]|{_AND})[ ]*(?:post|nach|apres|"
    rf"dopo|na|ap|despues){_E}{_GAP}(?:{_AGENT})?",
    rf"{_B}(?:pre|post|vor|nach|apres|avant|dopo|prae|na|voor){_GAP}{_EVENTS}",
    rf"{_B}{_WITHOUT}{_GAP}{_OTHER_THAN_AGENT}{_E}",
    r"\+/-|(?<![a-z0-9])c[ ]*\+/?-",
    r"平扫[+及和与、/ ]*增强|平掃[+及和與、/ ]*增強|単純[・+/ ]*造影(?![前後なあ])|造影前[・/]?後",
    r"(?:multi|phase|flow|dual|susceptibility|magneti[sz]ation)[ -]*contrast",
)
_NATIVE = (
    rf"{_B}(?:{_WITHOUT}|{_BEFORE}){_GAP}{_AGENT}",
    rf"{_B}(?:pre|prae|pra)(?:{_E}|(?:contrast|kontrast|km|gad|gd|inj|mdc)\w*)",
    rf"{_B}(?:without|w/?out|w/o|wo|ohne|sans|senza|sin|zonder|vor|avant|s/c)[ .)]*(?:$|[|])",
    rf"{_B}(?:native?\w{{0,2}}|natif\w*|nativo|nativa|unenh\w*|un-enh\w*|plain|blanco|basale|leer\w*)"
    rf"{_E}",
    rf"{_B}non?{_GAP}(?:contrast\w*|con|enh\w*|ce|gad\w*|inject\w*|inj\w*){_E}",
    rf"{_B}(?:nce?|noncon\w*|noc){_E}",
    rf"{_B}(?:s/c|s/gd|s/gad\w*|s/mdc|s/contraste|smdc|okm|vkm){_E}",
    r"(?<![a-z0-9])\(?(?:c|gd|km|cm|gado|ce|iv|mdc|pdc)[ ]?\(?-\)?(?![a-z0-9])",
    rf"(?:^|[ (])-[ ]?(?:c|gd|km|gado|ce){_E}",
    r"平扫|平掃|增强前|增強前|注药前|注射前|造影前|非造影|造影剤?な[しく]|単純|プレーン|プレ(?!イ)",
)
_ENHANCED = (
    rf"{_B}{_AFTER}{_GAP}{_AGENT}",
    rf"{_B}post(?:{_E}|(?:contrast|kontrast|km|gad|gd|inj|mdc|con)\w*)",
    rf"{_B}(?:nach|apres|dopo|despues|tras)[ .)]*(?:$|[|])",
    rf"{_B}(?:gd|gad\w*|km|k\.m\.|mdc|pdc|civ|ce|contrast\w*|kontrast\w*|magnevist|dotarem|clariscan|"
    rf"omniscan|multihance|prohance|primovist|eovist|elucirem|vueway){_E}",
    rf"{_B}(?:enhanced|enh|enhance|kmverst\w*|inj|inject\w*|injekt\w*|inyec\w*|iv\+|realzad\w*|realce|"
    rf"poscontraste|nkm|mkm|cmdc|c/c|c/gd|c/gad\w*|c/mdc|c/contraste|rehauss\w*){_E}",
    rf"{_B}(?:delay\w*|late|spat\w*|spaet\w*|tardi\w*|laat|late-?phase|equilib\w*|hbp|hepatobil\w*|"
    rf"excretory|arteri\w*|(?:art|pv)(?=[ ]?(?:ph|$))|portal\w*|porto\w*|venous|venos\w*|veneus\w*|"
    rf"nephrogr\w*){_E}",
    r"\+[ ]?\(?(?:c|gd|gad\w*|km|cm|ce|k|mdc|contrast\w*|inj\w*)\)?(?![a-z])",
    r"(?<![a-z])(?:t1|t1w|t1wi)?[ ]?\(?(?:c|gd|km|cm|ce|iv|gado|mdc|pdc)[ ]?\(?\+",
    rf"{_B}t1w?i?(?:c|gd|gad|ce|km)(?![a-z])|{_B}(?:ce|gd|c)[ -]?t1",
    r"增强|增強|强化|強化|延迟|延遲|动脉期|動脈期|静脉期|靜脈期|門脈|门脉|造影後|造影后|造影あり|造影|遅延|"
    r"後期相|動脈相|ガド|ポスト",
)
_PATTERNS = tuple(
    re.compile("|".join(f"(?:{one})" for one in group)) for group in (_NEITHER, _NATIVE, _ENHANCED)
)
#: Names are cut to this length, so that no pattern takes long.
_MAX_TEXT = 256


def folded(name: str) -> str:
    """Write a name in one way: compatible characters in one form, no accents, blanks for ``_``.

    Case is kept. Japanese and Chinese characters stay whole.
    """
    parts = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", name[:_MAX_TEXT]))
    # U+0300 to U+036F are the accents of European scripts; Japanese marks are elsewhere.
    bare = "".join(c for c in parts if not "\u0300" <= c <= "\u036f").replace("_", " ")
    bare = re.sub("[\u2010-\u2015\u2212]", "-", bare)
    return unicodedata.normalize("NFC", bare)


@lru_cache(maxsize=4096)
def contrast_in_words(name: str) -> tuple[Contrast, str]:
    """Read a name.

    Returns
    -------
    tuple
        What it says, and the words that say so.
    """
    neither, native, enhanced = _PATTERNS
    rest = neither.sub(" ", folded(name).casefold())
    before = [match[0].strip() for match in native.finditer(rest)]
    rest = native.sub(" ", rest)
    after = [match[0].strip() for match in enhanced.finditer(rest)]
    words = ", ".join(f"'{word}'" for word in (*before, *after))
    if before and after:
        return Contrast.CONTRADICTORY, words
    if before:
        return Contrast.NATIVE, words
    return (Contrast.ENHANCED if after else Contrast.UNKNOWN), words
