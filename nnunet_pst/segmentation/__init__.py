"""One new study to masks, measures and a page.

Other rooms use `model_interface`, which `nnunet_pst.nnunet.models.prediction` implements, and
`measures` (`volume_text`, `measure_tumor`).
"""
