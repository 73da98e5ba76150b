"""The services: the only files that import huggingface_hub or boto3, and they do so where it is used."""
