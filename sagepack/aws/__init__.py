"""TODO sagepack/aws."""
