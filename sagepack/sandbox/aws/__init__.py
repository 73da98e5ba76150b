"""AWS on this machine: moto, with what it lacks of S3, SageMaker, ECR and signatures laid over it."""
