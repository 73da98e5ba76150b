"""What a person types and reads: tasks, options, results, messages and exit codes.

main        runs a task: every failure becomes a message and an exit code
build       the tasks of a build; `endpoint` those about an endpoint
options     what the tasks share; `connect` how the services of an environment are reached
output      what is printed, and how; `interrupts` what signals do
"""
