"""The calls to AWS, and nothing that decides about them. The only room that imports boto3, and it does so where it is used.

session        accounts, clients, and what their failures mean for a person
s3             objects, copies and multipart uploads, in the values of `s3_types`
sagemaker      models, endpoint configurations, endpoints; `autoscaling` and `logs` beside them
ecr            what a tag means in a registry
service_model  AWS's own description of its requests
"""
