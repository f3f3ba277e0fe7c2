"""The bundled demonstration model: the recipe that draws scenes and trains on them, and the checkpoint it made.

Modules, in the order of the recipe: `shapes` and `scenes` draw clips, `captions` describes them in the words that
derive_prompt writes, `training` teaches VAE, text encoder and denoiser, `export` makes the model folder, `evaluate`
measures it. Importing this package imports no torch.
"""
