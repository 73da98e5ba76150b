"""What the inference code says about itself without being run: each mistake at its line, before anything is deployed.

    source    a file of the code: parsed, or the reason why it cannot be
    hooks     the functions that the image's server calls: names, numbers of arguments, combinations
    imports   modules that the container does not have, and those of the image that the code hides
    at_import calls of the network, and written files, when the server imports the code
    check     all of it, for the files of a package

The server answers pings with 200 whatever the code is like, and tells a mistake only with the first request; so every
mistake that can be known is told here. Nothing of the code is imported or run.
"""
