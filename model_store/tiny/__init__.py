"""The bundled demonstration model: the recipe that draws scenes and trains on them, and the checkpoint it made.

Modules, in the order of the recipe: `shapes` and `scenes` draw clips, `captions` describes them in the words that
derive_prompt writes, `train_vae`, `train_text` and `train_denoiser` teach the three networks, `export` makes the model
folder, `evaluate` measures it. Importing this package imports no torch.
"""
