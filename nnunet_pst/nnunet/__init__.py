"""The only room that imports nnunetv2: planning, environment, installation."""
