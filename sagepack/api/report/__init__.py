"""A page about a spec, or a fleet of them: what was built, and why the last run took as long as it did.

last_run   the events of the last run, as values
facts      what is known of a spec, and what could not be found out; pure values
words      sentences of the page
charts     its pictures: Vega-Lite, drawn as SVG
page       the page itself: `sagepack/templates/report/`, filled in by Jinja
gathering  asks this disk and the services for the facts
"""
