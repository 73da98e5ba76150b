"""AWS on this machine: moto, with overlays for what it does not have of S3, SageMaker, ECR and signatures."""
