"""The plan as a picture: its steps, what each needs, and what each would do. Pure: a picture follows from the plan alone.

lanes     where each step and each arrow is; for the terminal (`cli.plan_table`) and for SVG
words     what is said of a step
mermaid   a flowchart for a README; `svg` a picture for a page
"""
