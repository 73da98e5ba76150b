"""The same deployment for people whose infrastructure tool owns the endpoint. Pure: nothing here calls AWS.

cloudformation  a template, from which the other formats are made
terraform       the template in the names of Terraform's provider
limits          what a format cannot say of a deployment, and who takes care of that then
formats         the files of each format
"""
