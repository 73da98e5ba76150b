"""What `init` and `new` write: a project, or a model in it, that validates, packages and serves as it is.

kinds        what kind of model it is, and which handler, sample, image and instance type fit it
sizes        how much memory it needs, and the instance type that has it
found        asks the Hub, or looks into a folder, what a model is
project      the files of a project and of a model, as texts
writing      writes them all or none, and overwrites nothing

The texts are in `sagepack/templates/`. There the handlers, samples and overlays are links to those of this repository, so
that each exists once; a wheel holds the files themselves.
"""
