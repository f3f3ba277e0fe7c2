"""Wan2.2-TI2V-5B in plain PyTorch: denoiser, VAE, text encoder, samplers, engine. Knows nothing of Kafka or MinIO."""
