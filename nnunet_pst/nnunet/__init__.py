"""The only room that imports nnunetv2: planning, environment, installation.

Other rooms use

- `environment`: the host's variables, folders and version, cores and processes; it imports nothing
  but the standard library and `nnunet_pst.errors`;
- `planning`: `plan_dataset` and the names of our configurations;
- `training.settings`: what the plans say about a training; it imports no nnunetv2;
- `models.prediction`: `load_model`, for `nnunet_pst.segmentation`;
- `models.files`: manifests of trained models.
"""
