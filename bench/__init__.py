"""bench: the reference benchmark for latent-variable text generators."""

__version__ = "0.1.0"
