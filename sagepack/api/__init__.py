"""What sagepack does, for programs: `Project` and the values that its methods return. Nothing here prints or asks.

project   one spec in one environment: `validate`, `lock`, `plan`, `package`, `deploy`, ...
fleet     many specs in many environments: `Fleet`
results   what each of them returns; also what a task prints with `--json`
session   from a spec's file to a context in which steps run
connect   how the services of an environment are reached: the real ones, or the sandbox
cleaning  local output
"""
