"""The calls to AWS, one function for an operation of the API. The only room that imports boto3, in the functions that use it.

session        connections and clients, and the translation of their errors
s3             objects, copies and multipart uploads, in the values of `s3_types`
sagemaker      models, endpoint configurations, endpoints and asynchronous invocation
autoscaling    scalable targets, scaling policies, and the alarms that start them
logs           new log lines of an endpoint's container
ecr            the digest of an image
identity       who calls, who may assume a role, and what its policies allow
quotas, sns    how many instances may serve; whether a topic exists
permissions    the IAM actions of operations; `iam_policy` has the parts of policy documents
service_model  AWS's own description of its requests
"""
