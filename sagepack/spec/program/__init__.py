"""What the inference code says about itself without being run: each mistake at its line, before anything is deployed.

    source        a file of the code: parsed, or the reason why it cannot be
    newer_syntax  what the image's Python does not know, and this one lets pass
    modules       the names that each file has once it is imported
    meanings      what an expression stands for, followed through names and files
    flow          what runs at import and in the hooks, followed from call to call
    hooks         the functions that the image's server calls: names, numbers of parameters, combinations
    imports       modules that the container does not have
    own_imports   names and modules that the code's own files lack, and circles among them
    undefined     names that nothing gives
    effects       calls of the network, written files, a GPU that is not there
    check         all of it, for the files of a package

The server answers pings with 200 whatever the code is like, and tells a mistake only with the first request; so every
mistake that can be known is told here. Nothing of the code is imported or run.
"""
