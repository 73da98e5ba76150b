"""sagepack: a declarative build system that packages Hugging Face models for Amazon SageMaker."""

__version__ = "0.1.0"
