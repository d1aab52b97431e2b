"""Names of scans that say before or after contrast, in many languages, or neither."""

from __future__ import annotations

import pytest

from nnunet_pst.dicom.scan.contrast_words import Contrast, contrast_in_words

NATIVE = """AX T1 PRE|T1 w/o contrast|T1 WO|T1 W/O GAD|T1 non-contrast|T1 noncon|T1 unenhanced|T1 C-
t1_tra_nativ|T1 vor KM|T1 ohne KM|T1 o. KM|T1 präKM|T1 prae KM|T1 SANS INJECTION|T1 sans gado
T1 avant injection|T1 non injecté|T1 NATIF|T1 SIN CONTRASTE|T1 S/C|T1 senza mdc|T1 basale
T1 造影剤なし
T1 zonder contrast|T1 blanco|T1 voor contrast|T1 平扫|T1增强前|T1 単純|T1 造影前|T1 Plain|T1 -C"""
ENHANCED = """AX T1 FS POST|t1_tse_tra_+C|T1 C+|T1+C|T1 (C+)|T1 post KM|t1_tse_tra_KM|T1 nach KM
T1 n. KM|T1 mit KM|T1 GADO|T1 après gado|T1 INJ|T1 injecté|T1 CON CONTRASTE|T1 C/C|T1 con mdc
T1 dopo mdc|T1 met contrast|T1 na Gd|T1增强|T1WI+C|T1 造影|造影後 T1|CE-T1WI|T1CE|Gd-T1|T1 spät
T1 sans FS gado|LAVA Delayed Phase|T1 tardif|AX T1 w/ contrast|T1 Gadovist|T1 TARDÍO|T1 GD-DTPA
T1 APRES"""
NEITHER = """AX T1 FSE|PELVIS W/WO CONTRAST|Pelvis w & wo contrast|T1 with and without contrast
T1 post op|T1 pre-op|t1_tse_cor|T1 C-spine|T1 sans FS|T1 ohne FS|T1 w/o fs|T1 post treatment
T1 avec et sans injection|T1 mit und ohne KM|T1 con y sin contraste|T1 con e senza mdc
平扫+增强 T1|T1 造影前後
T1 TSE POSTERIOR|T1 presat|T1 pre/post|Sacrum coronal T1|T1 space|T1 met vetsat"""


@pytest.mark.parametrize(
    ("names", "contrast"),
    [(NATIVE, Contrast.NATIVE), (ENHANCED, Contrast.ENHANCED), (NEITHER, Contrast.UNKNOWN)],
)
def test_words_for_before_and_after_contrast(names: str, contrast: Contrast):
    every = names.replace("\n", "|").split("|")
    assert {text: contrast_in_words(text)[0] for text in every} == dict.fromkeys(every, contrast)
