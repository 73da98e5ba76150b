"""One goal for many specs and environments: each is a job, on threads of this process or on any executor.

running    `Fleet`: what is selected, what runs when, and what comes of it
selection  which specs and environments, and what is known of each before it runs
order      which job may begin, so that a content is brought to a place once; pure
sharing    what a plan of all jobs moves, with shared contents counted once; pure
job        one job: text in, text out, so that it can run anywhere
job_events what happens in a job, kept and told
log        a job's own lines, in a file
"""

JOBS = 8
"""Most jobs at a time: most of them wait for a service."""
ALL_SPECS = "config/*.yaml"
