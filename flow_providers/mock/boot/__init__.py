"""The pretend cloud's machines that boot: namespaces over an overlay of this machine, reached by SSH."""
