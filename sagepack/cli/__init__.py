"""What a person types and reads: tasks, options, results, messages and exit codes.

program     the command `sagepack`; `tasks` all tasks for invoke
entrance    what happens to a command line first: `command_line` reads it, `refusals` says what is wrong with it,
            `help_pages` and `completion` answer questions and shells
main        runs a task: every failure becomes a message and an exit code
build       the tasks of a build; `endpoint` those about an endpoint
options     what the tasks share
screens     the lines of each result; `plan_table` those of a plan, `footer` what to type next
layout      how lines fit a terminal, its colours and signs
terminal    progress; `running` the lines of what runs, `region` those of a terminal that are drawn again and again
output      what is printed, and how; `interrupts` what signals do
"""
